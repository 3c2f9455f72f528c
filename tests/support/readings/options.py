"""Options of the questions that are answered, and names of their indices."""

ACTS = ("He opens the fridge", "He washes the dishes", "He reads a book", "He leaves the room")
COLOURS = ("red", "dark red", "blue", "green")
COUNTS = ("0", "3", "10", "12")
YES_NO = ("yes", "no")
FIVE = ("apple", "banana", "cherry", "date", "elderberry")
TIMES = ("0:10", "1:30", "2:00", "10:00")
FOODS = ("苹果", "香蕉", "樱桃", "葡萄")
MANY = tuple(f"place number {number} of the tour" for number in range(26))
MEN = ("A man with a hat", "A woman with a hat", "A man without a hat", "A dog")
TEAMS = ("Team A", "Team B", "Team C", "Neither team")
UNKNOWN = ("cooking", "sleeping", "cannot be determined", "none of the above")
PURPOSES = (
    "To cook a meal for her family",
    "To clean the kitchen",
    "To demonstrate how to use a knife",
    "To film a commercial",
    "To feed the cat",
)
SCENES = ("A person running on a track", "A cat sleeping on a sofa", "Two kids playing football", "None of the above")
TIMES_DONE = ("1", "2", "3", "4")
DIRECTIONS = ("moving left", "moving right", "not moving", "moving up")
ORDERS = ("cut, boil, eat", "boil, cut, eat", "eat, cut, boil", "cut, eat, boil")
A, B, C, D, E = range(5)
