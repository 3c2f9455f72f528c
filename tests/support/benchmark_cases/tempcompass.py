"""TempCompass."""

from __future__ import annotations

from tests.support.benchmark_cases.base import Cases, File, sample

SAMPLES = [
    sample("multi-choice/1034419625/direction/0", "videos/1034419625.mp4",
           "In which direction does the green triangle move?", ("left", "right", "up", "down"), 1,
           task="multi-choice", dim="direction"),
    sample("multi-choice/1034419625_reverse/attribute_change/0", "videos/1034419625_reverse.mp4",
           "Does the red circle grow or shrink?", ("grow", "shrink"), 0,
           task="multi-choice", dim="attribute_change"),
    sample("yes_no/1034419625/action/0", "videos/1034419625.mp4", "Is anything blue?", ("yes", "no"), 1,
           lettered=False, task="yes_no", dim="action"),
    sample("yes_no/1034419625/action/1", "videos/1034419625.mp4", "Is anything green?", ("yes", "no"), 0,
           lettered=False, task="yes_no", dim="action"),
    sample("caption_matching/1034419625/direction/0", "videos/1034419625.mp4",
           "Which description is a more suitable match for the video?",
           ("Option 1: It moves left.", "Option 2: It moves right."), 1, task="caption_matching", dim="direction"),
    sample("caption_matching/1034419625/order/0", "videos/1034419625.mp4",
           "Which sentence better captures the essence of the video?",
           ("Sentence A: It ends top right.", "Sentence B: It ends left."), 0,
           task="caption_matching", dim="order"),
]  # fmt: skip

CASES = Cases(
    samples={"test": SAMPLES},
    prompt="""\
In which direction does the green triangle move?
A. left
B. right
C. up
D. down
Please directly give the best option:""",
    rules=[
        (0, "B. right", True),
        (0, "B)", True),
        (0, "(B)", False),
        (0, "right", False),
        (2, "No, it is not.", True),
        (2, "Nothing is blue", True),
        (3, "It is", False),
        (4, "Option 2", True),
        (4, "2", True),
        (4, "It moves right.", True),
        (4, "Option 1: It moves left.", False),
        (5, "Sentence A.", True),
    ],
    files=[
        File(
            path="questions/multi-choice.json",
            fields=[("1034419625", "direction", 0, field) for field in ("question", "answer")],
            wrong=[
                (("1034419625", "direction", 0, "question"), "Which?\nA. up\nC. down", "a line for the question"),
                (("1034419625", "direction", 0, "answer"), "A. right", "expected one of its options"),
                (("1034419625", "direction"), {}, "expected a list of rows"),
            ],
            other=[([], "expected")],
        )
    ],
)
