"""MLVU."""

from __future__ import annotations

from pipelines.evals.benchmark import Sample
from tests.support.benchmark_cases.base import Cases, File, sample


def dev(task: str, story: str, question: str, options: tuple[str, ...], kind: str) -> Sample:
    return sample(f"{task}/0", f"MLVU/video/{task}/{story}_1.mp4", question, options, 2, question_type=kind)


DEV = [
    dev("1_plotQA", "still", "How many shapes are there?", ("one", "two", "four", "three"), "plotQA"),
    dev("2_needle", "parade", "What color comes first?", ("red", "green", "orange", "blue"), "findNeedle"),
    dev("3_ego", "motion", "In which direction does the green triangle move?", ("left", "up", "right", "down"), "ego"),
    dev("4_count", "grow", "What shape is the red one?", ("square", "triangle", "circle", "cross"), "count"),
    dev("5_order", "parade", "What color comes last?", ("red", "green", "blue", "yellow"), "order"),
    dev("6_anomaly_reco", "change", "What color does the cross turn into?", ("red", "green", "blue", "yellow"),
        "anomaly_reco"),
    dev("7_topic_reasoning", "pan", "Which way does the camera pan?", ("left", "right", "down", "up"),
        "topic_reasoning"),
]  # fmt: skip
TEST = [
    sample("AR_0", "MLVU_Test/video/test_change_1.mp4", "Where is the green cross?",
           ("top left", "top", "top right", "left", "bottom", "center"), 4, question_type="anomaly_reco"),
    sample("TQ_7", "MLVU_Test/video/test_motion_1.mp4", "Which color moves?",
           ("red", "blue", "yellow", "purple", "green", "orange"), 4, question_type="tutorialQA"),
]  # fmt: skip

CASES = Cases(
    samples={"dev": DEV, "test": TEST},
    prompt="""\
Carefully watch this video and pay attention to every detail. \
Based on your observations, select the best option that accurately addresses the question.
Question: How many shapes are there?
Options:
(A) one
(B) two
(C) four
(D) three
Only give the best option.""",
    rules=[
        (0, "C", True),
        (0, "C) four", True),
        (0, "(C) four", True),
        (0, "C. four", False),  # the whole output is compared
    ],
    files=[
        File(
            path="MLVU/json/3_ego.json",
            fields=[(0, field) for field in ("video", "question", "candidates", "answer", "question_type")],
            wrong=[
                ((0, "answer"), "sideways", "expected one of its options"),
                ((0, "candidates"), "left or right", "expected a list of texts"),
                ((0, "question"), "", "expected text"),
            ],
            other=[({}, "expected")],
        )
    ],
)
