"""The product's own long videos."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.evals.benchmark import Sample
from tests.support.benchmark_cases.base import Cases, File, sample

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "cross")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
YES_NO = ("yes", "no")
ORANGE, RED = (0.25, 1.0), (12.25, 13.0)


def asked(
    number: int, kind: str, question: str, options: tuple[str, ...], answer: Any, position: str, *evidence: Any,
    control: str = "",
) -> Sample:  # fmt: skip
    groups = {"kind": kind, "minutes": "0.25", "position": position, "place": f"0.25 min, {position}"}
    name = f"000-0.25m-00000{control}"
    made = sample(f"{name}-{number}", f"{name}.mp4", question, options, answer, lettered=False, **groups)
    return replace(made, evidence=evidence, seconds=15.0)


SAMPLES = [
    asked(0, "shape", "Which shape is orange?", SHAPES, 3, "0.0", ORANGE),
    asked(1, "when", "When does the orange one appear?", (), None, "0.0", ORANGE),
    asked(2, "shape", "What shape is the red one?", SHAPES, 1, "0.8", RED),
    asked(3, "when", "When does the red one appear?", (), None, "0.8", RED),
    asked(4, "exists", "Is anything red?", YES_NO, 0, "0.8", RED),
    asked(5, "exists", "Is anything blue?", YES_NO, 1, "-"),
    asked(6, "order", "Does orange appear before red?", YES_NO, 0, "-", ORANGE, RED),
    asked(7, "count", "How many yellow shapes are in the video?", NUMBERS, 0, "0.1", (1.75, 2.5)),
    asked(8, "between", "Which color appears after orange and before yellow?", ("red", "green", "blue", "purple"), 3,
          "0.0", (0.25, 2.5)),
    asked(9, "chapter", "Which background comes right after the gray background?", ("black", "gray", "white"), 0,
          "0.2", (2.5, 4.0)),
    asked(10, "gist", "What color is shown most?", COLOURS, 4, "-"),
]  # fmt: skip
CASES = Cases(
    samples={
        "test": SAMPLES,
        "removed": [asked(0, "exists", "Is anything orange?", YES_NO, 1, "-", control=".removed")],
    },
    prompt="Which shape is orange?",
    files=[
        File(
            path="questions.jsonl",
            fields=[
                (0, field) for field in ("id", "video", "split", "question", "answer", "kind", "minutes", "evidence")
            ],
            wrong=[
                ((0, "answer"), "mauve", "expected one of its options"),
                ((0, "evidence"), [[2, 1]], "start before end"),
            ],
            twice=(0,),
            empty=[],
        )
    ],
)
