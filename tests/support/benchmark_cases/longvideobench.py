"""LongVideoBench."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.benchmark_cases.base import Cases, File, sample

SHORT = Path("subtitles/86CxyhFV9MI_en.json")
CUT_OUT = {"subtitles": Path("subtitles/cH4p3yUOeoY_en.json"), "subtitles_from": 100.0}
VAL = [
    replace(sample("86CxyhFV9MI_0", "videos/86CxyhFV9MI.mp4", "What color comes first?",
                   ("red", "orange", "green", "blue"), 1, duration_group="15", question_category="S2E"),
            subtitles=SHORT),
    replace(sample("86CxyhFV9MI_1", "videos/86CxyhFV9MI.mp4", "Is orange shown before blue?", ("yes", "no"), 0,
                   duration_group="15", question_category="SOS"), subtitles=SHORT),
    replace(sample("cH4p3yUOeoY_0", "videos/cH4p3yUOeoY.mp4", "Where is the green triangle at the end?",
                   ("top left", "top", "left", "right", "top right"), 4, duration_group="3600",
                   question_category="T2O"), **CUT_OUT),
]  # fmt: skip
TEST = [
    replace(sample("cH4p3yUOeoY_1", "videos/cH4p3yUOeoY.mp4", "Which color moves?", ("green", "red", "blue"), None,
                   duration_group="3600", question_category="T2O"), **CUT_OUT),
]  # fmt: skip
FIELDS = ("id", "video_path", "subtitle_path", "question", "candidates", "correct_choice", "duration_group",
          "question_category")  # fmt: skip

CASES = Cases(
    samples={"val": VAL, "test": TEST},
    prompt="""\
Question: What color comes first?
A. red
B. orange
C. green
D. blue
Answer with the option's letter from the given choices directly.""",
    rules=[
        (0, "The answer is B", True),
        (0, "B. orange", True),
        (0, "Answer: B", False),  # the A of Answer
        (0, "", False),  # the original draws an option
    ],
    files=[
        File(
            path="lvb_val.json",
            fields=[(1, field) for field in FIELDS],
            wrong=[
                ((0, "correct_choice"), 4, "expected an index of its 4 options"),
                ((0, "correct_choice"), "@", "expected a whole number"),
                ((0, "starting_timestamp_for_subtitles"), -1, "expected seconds"),
            ],
            twice=(0,),
            empty=[],
        )
    ],
)
