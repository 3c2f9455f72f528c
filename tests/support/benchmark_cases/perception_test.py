"""Perception Test."""

from __future__ import annotations

from dataclasses import replace

from tests.support.benchmark_cases.base import Cases, File, sample
from videollm.types import Clip

CUT = Clip(video="videos/video_10.mp4", end=3.0)
VALID = [
    replace(sample("video_10/0", "", "How many shapes are there?", ("four", "one", "two"), 0, area="Semantics",
                   reasoning="Descriptive", tag=("counting", "spatial relations")), clip=CUT),
    replace(sample("video_10/1", "", "What shape is the orange one?", ("square", "triangle", "circle"), 2,
                   area="Memory", reasoning="Descriptive", tag=("matching",)), clip=CUT),
    sample("video_11/0", "videos/video_11.mp4", "What color comes first?", ("red", "orange", "green"), 1,
           area="Memory", reasoning="Explanatory", tag=("sequencing",)),
]  # fmt: skip
TEST = [
    sample("video_12/0", "videos/video_12.mp4", "Which color moves?", ("red", "green", "blue"), None,
           area="not published", reasoning="not published", tag="not published"),
]  # fmt: skip
FIELDS = ("id", "question", "options", "answer_id", "area", "reasoning", "tag")

CASES = Cases(
    samples={"valid": VALID, "test": TEST},
    prompt="""\
Question: How many shapes are there?
Options:
(A) four
(B) one
(C) two
Answer with the option's letter from the given choices directly and only give the best option.""",
    rules=[
        (0, "Answer: (A)", True),
        (0, "four", True),
        (1, "no idea", False),  # the original takes C
    ],
    files=[
        File(
            path="mc_question_valid.json",
            fields=[("video_11", "mc_question", 0, field) for field in FIELDS],
            wrong=[
                (("video_10", "mc_question", 0, "answer_id"), 3, "expected an index of its 3 options"),
                (("video_10", "metadata"), {"video_id": "video_10"}, "frame_rate is None"),
            ],
            twice=("video_11", "mc_question", 0),
            empty={},
            other=[([], "expected")],
        )
    ],
)
