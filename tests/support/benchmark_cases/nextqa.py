"""NExT-QA."""

from __future__ import annotations

from tests.support.benchmark_cases.base import Cases, File, sample

SAMPLES = [
    sample("4010069381_6", "NExTVideo/1106/4010069381.mp4", "What color comes first?",
           ("red", "green", "orange", "blue", "yellow"), 2, category="T", type="TN"),
    sample("4010069381_7", "NExTVideo/1106/4010069381.mp4", "What color comes last?",
           ("blue", "red", "green", "yellow", "purple"), 0, category="T", type="TN"),
    sample("4882821564_1", "NExTVideo/4882821564.mp4", "Which color moves?",
           ("red", "blue", "yellow", "purple", "green"), 4, category="C", type="CW"),
    sample("4882821564_10", "NExTVideo/4882821564.mp4", "Where is the green triangle at the start?",
           ("top", "top left", "top right", "left", "right"), 1, category="D", type="DL"),
]  # fmt: skip

CASES = Cases(
    samples={"val": SAMPLES},
    prompt="""\
What color comes first?
A. red
B. green
C. orange
D. blue
E. yellow
Answer with the option's letter from the given choices directly.""",
    rules=[(0, "C", True), (0, "C. orange", True), (0, "D", False)],
    files=[
        File(
            path="val.csv",
            fields=[(0, field) for field in ("video", "question", "answer", "qid", "type", "a0", "a4")],
            wrong=[
                ((0, "answer"), "5", "answer is ", "expected an index of its 5 options"),
                ((0, "answer"), "1.5", "answer is ", "expected a whole number"),
                ((0, "type"), "XY", "type is ", "expected one that starts with C, T or D"),
                ((0, "a3"), "  ", "a3 is ", "expected text"),
            ],
            twice=(0,),
            empty=[],
        )
    ],
)
