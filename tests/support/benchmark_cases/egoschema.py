"""EgoSchema."""

from __future__ import annotations

from tests.support.benchmark_cases.base import Cases, File, sample

SAMPLES = [
    sample("00000000-11cb-497d-8d07-77c3a8127391", "videos/00000000-11cb-497d-8d07-77c3a8127391.mp4",
           "What color comes first?", ("red", "green", "blue", "yellow", "orange"), 4),
    sample("00000002-11cb-497d-8d07-77c3a8127391", "videos/00000002-11cb-497d-8d07-77c3a8127391.mp4",
           "What color does the cross turn into?", ("blue", "red", "green", "yellow", "purple"), 0),
]  # fmt: skip

CASES = Cases(
    samples={"subset": SAMPLES},
    prompt="""\
Select the best answer to the following multiple-choice question based on the video.
What color comes first?
Options:
(A) red
(B) green
(C) blue
(D) yellow
(E) orange
Answer with the option's letter from the given choices directly and only give the best option. The best answer is:""",
    rules=[(0, "E", True), (0, "(E) orange", True), (0, "A", False)],
    files=[
        File(
            path="questions.json",
            fields=[(0, field) for field in ("q_uid", "question", "option 0", "option 4")],
            wrong=[
                ((0, "option 2"), None, "option 2 is ", "expected text"),
                ((0, "question"), ["why"], "question is ", "expected text"),
            ],
            twice=(0,),
            other=[
                ({"video": "a.mp4"}, "expected a list of questions"),
                (["a.mp4"], "entry 1", "expected a row of named fields"),
            ],
        )
    ],
)
