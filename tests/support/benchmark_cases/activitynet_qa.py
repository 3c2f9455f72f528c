"""ActivityNet-QA."""

from __future__ import annotations

from tests.support.benchmark_cases.base import Cases, File, sample

TEST = [
    sample("v_1QIUV7WYKXg_0", "all_test/v_1QIUV7WYKXg.mp4", "what color comes last", (), ("blue",), type="Color"),
    sample("v_1QIUV7WYKXg_1", "all_test/v_1QIUV7WYKXg.mp4", "does the video show anything yellow", (), ("no",),
           type="Yes/No"),
    sample("v_9eniCub7u60_2", "all_test/v_9eniCub7u60.mkv", "in which direction does the green triangle move", (),
           ("right",), type="Motion"),
]  # fmt: skip
VAL = [
    sample("v_9eniCub7u60_3", "all_test/v_9eniCub7u60.mkv", "which color moves", (), ("green",), type="Color"),
]

CASES = Cases(
    samples={"test": TEST, "val": VAL},
    prompt="What color comes last? Answer the question using a single word or phrase.",
    rules=[(0, "blue", True), (0, "Blue", False)],
    files=[
        File(
            path="test_q.json",
            fields=[(0, field) for field in ("video_name", "question", "question_id")],
            wrong=[((0, "question_id"), "v_1", "does not answer")],
            twice=(0,),
            empty=[],
        ),
        File(
            path="test_a.json",
            fields=[(2, field) for field in ("answer", "type", "question_id")],
            wrong=[
                ((0, "type"), 9, "expected 0 to 8"),
                ((0, "question_id"), "v_1QIUV7WYKXg_1", "a second answer"),
            ],
        ),
    ],
)
