"""CG-Bench."""

from __future__ import annotations

from dataclasses import replace

from tests.support.benchmark_cases.base import Cases, File, sample

SAMPLES = [
    replace(sample("0", "cg_videos_720p/aB3.mp4", "What color does the cross turn into?",
                   ("red", "green", "yellow", "blue"), 3, domain="Shapes", sub_category="becomes perception"),
            evidence=((2.0, 3.5),), seconds=4.0),
    replace(sample("1", "cg_videos_720p/cD4.mp4", "In which direction does the green triangle move?",
                   ("left", "right", "up", "down"), 1, domain="Shapes", sub_category="direction perception"),
            evidence=((0.0, 1.0), (3.0, 4.0)), seconds=4.0),
]  # fmt: skip
FIELDS = ("qid", "video_uid", "question", "choices", "right_answer", "clue_intervals", "domain", "sub_category")
CASES = Cases(
    samples={"test": SAMPLES, "mini": SAMPLES},
    prompt="""\
What color does the cross turn into?
A. red
B. green
C. yellow
D. blue
Answer with the option's letter from the given choices directly.""",
    files=[
        File(
            path="cgbench.json",
            fields=[(0, field) for field in FIELDS],
            wrong=[
                ((0, "right_answer"), "E", "expected a letter from A to D"),
                ((0, "clue_intervals"), [[3, 2]], "start before end"),
            ],
            twice=(0,),
            empty=[],
            other=[({"qid": 1}, "expected a list of questions")],
        )
    ],
)
