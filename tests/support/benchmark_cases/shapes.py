"""The product's own clips."""

from __future__ import annotations

from typing import Any

from pipelines.evals.benchmark import Sample
from tests.support.benchmark_cases.base import Cases, File, sample

PLACES = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")


def asked(id: str, question: str, options: tuple[str, ...], answer: int, **groups: Any) -> Sample:
    return sample(id, f"{id.rpartition('-')[0]}.mp4", question, options, answer, lettered=False, **groups)


SAMPLES = [
    asked("005-00000-0", "What color does the circle turn into?",
          ("red", "green", "blue", "yellow", "purple", "orange"), 4, kind="becomes", temporal="yes"),
    asked("005-00000-1", "Where is the yellow circle in the picture?", PLACES, 8, kind="where", temporal="no"),
    asked("005-00000-2", "Which color is the background?", ("black", "gray", "white"), 0, kind="background",
          temporal="no"),
    asked("005-00001-0", "Does the yellow square come or go, appear or disappear?", ("appear", "disappear"), 1,
          kind="comes", temporal="yes"),
    asked("005-00001-1", "Where is the yellow square?", PLACES, 7, kind="where", temporal="no"),
    asked("005-00001-2", "What shape is the green one?", ("circle", "square", "triangle", "cross"), 2, kind="shape",
          temporal="no"),
    asked("005-00001-3", "Does the video show anything purple?", ("yes", "no"), 0, kind="exists", temporal="no"),
]  # fmt: skip

CASES = Cases(
    samples={"test": SAMPLES},
    prompt="What color does the circle turn into?",
    rules=[(0, "purple", True), (0, "E", False)],
    files=[
        File(
            path="questions.jsonl",
            fields=[(0, field) for field in ("id", "video", "question", "answer", "kind", "choices")],
            wrong=[((0, "answer"), "mauve", "expected one of its options")],
            twice=(0,),
            empty=[],
        )
    ],
)
