import random
import re
import time
from string import ascii_uppercase

import pytest

from pipelines.evals.answers.choice import Choice, read_choice
from tests.support.readings import ACTS, COLOURS, READINGS

LETTER_STYLES = (
    *("{}", "({})", "{}.", "{})", "**{}**", "Answer: {}", "The answer is {}.", "The correct answer is ({})."),
    *("Option {}", "I think it's {}", "\\boxed{{{}}}", '{{"answer": "{}"}}', "答案是{}", "<think>No idea.</think>{}"),
    *("Not Z but {}.", "Therefore, the best option is {}", "La respuesta correcta es la {}"),
)
WORDS = ("amber", "basket", "copper", "dune", "ember", "fjord", "garnet", "harbor", "island", "jungle", "kettle")


@pytest.mark.parametrize(("text", "options", "option"), READINGS, ids=range(len(READINGS)))
def test_reads_as_a_person_would(text: str, options: tuple[str, ...], option: int | None) -> None:
    choice = read_choice(text, options)
    assert choice.option == option, (text, choice.rule)


@pytest.mark.parametrize(
    ("text", "options", "rule"),
    [
        ("B", ACTS, "letter"),
        ("he reads a book.", ACTS, "option text"),
        ("The answer is (C) because A is early.", ACTS, "answer phrase"),
        ("So the answer is D.", ACTS, "final answer"),
        ("B. He washes the dishes", ACTS, "leading answer"),
        ("I think it's B", ACTS, "letter in a sentence"),
        ("The car is blue.", COLOURS, "option text in a sentence"),
        ('{"answer": "B"}', ACTS, "json: letter"),
        ("<answer>(B)</answer>", ACTS, "answer tag: letter"),
        (r"\boxed{B}", ACTS, "boxed: letter"),
        ("", ACTS, "empty"),
        ("A or B", ACTS, "several options"),
        ("B. He opens the fridge", ACTS, "letter and text differ"),
        ("E", ACTS, "letter outside the options"),
        ("2", ACTS, "number instead of a letter"),
        ("В", ACTS, "look-alike letter"),
        ("It is not A.", ACTS, "negated"),
        ("I'm sorry, I cannot see the video.", ACTS, "refusal"),
        ("<think>It is B", ACTS, "unfinished thinking"),
        ("The kitchen is bright.", ACTS, "no option named"),
    ],
)
def test_says_which_rule_fired(text: str, options: tuple[str, ...], rule: str) -> None:
    assert read_choice(text, options).rule == rule


@pytest.mark.parametrize("style", LETTER_STYLES)
def test_letters_follow_the_place_of_an_option(style: str) -> None:
    for turn in range(len(ACTS)):
        rotated = ACTS[turn:] + ACTS[:turn]
        for place in range(len(ACTS)):
            said = style.format(ascii_uppercase[place])
            assert read_choice(said, rotated).option == place, (said, turn)


@pytest.mark.parametrize("seed", range(40))
def test_an_option_reads_as_itself_wherever_it_stands(seed: int) -> None:
    chance = random.Random(seed)
    num_options = chance.randint(2, 8)
    chosen = chance.sample(WORDS, num_options)
    options = [
        " ".join([word, *chance.choices(("of", "the", "Big", "not", "2", "a"), k=chance.randint(0, 4))])
        for word in chosen
    ]
    for turn in range(num_options):
        rotated = options[turn:] + options[:turn]
        for index, option in enumerate(rotated):
            for said in (option, option.upper(), f"**{option}.**", f"{ascii_uppercase[index]}. {option}"):
                assert read_choice(said, rotated).option == index, (said, rotated)


@pytest.mark.parametrize("seed", range(20))
def test_any_text_is_read_without_an_error(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [piece for text, _, _ in READINGS for piece in re.split(r"(\W)", text)]
    for _ in range(20):
        choice = read_choice("".join(chance.choices(pieces, k=chance.randint(0, 40))), ACTS)
        assert isinstance(choice, Choice)
        assert choice.option in (None, 0, 1, 2, 3)


def test_long_reasoning_is_read() -> None:
    thought = "Option A shows the fridge, and the answer may be the one in which he reads. " * 200
    assert read_choice(thought + "\nFinal answer: C", ACTS).option == 2


@pytest.mark.parametrize(
    "piece", ["answer:", "(", ":", "the ", "A, ", "\n", " ", "<answer>", "\\boxed{", "Option A is right. "]
)
def test_a_model_that_repeats_itself_is_read_in_time(piece: str) -> None:
    started = time.process_time()
    read_choice(piece * (8000 // len(piece)), ACTS)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("options", [(), [str(number) for number in range(27)]])
def test_too_few_or_too_many_options(options: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 26"):
        read_choice("A", options)


@pytest.mark.parametrize(
    ("text", "expected"), [("no", 1), ("Yes, it does.", 0), ("B", None), ("(A)", None), ("C", None)]
)
def test_a_letter_that_was_not_shown_names_no_option(text: str, expected: int | None) -> None:
    assert read_choice(text, ("yes", "no"), lettered=False).option == expected
