"""LVBench."""

from __future__ import annotations

from tests.support.benchmark_cases.base import Cases, File, sample

SAMPLES = [
    sample("55", "all_videos/Cm73ma6Ibcs.mp4", "What color does the cross turn into?",
           ("red", "green", "yellow", "blue"), 3, question_type=("key information retrieval",)),
    sample("108", "all_videos/TiQBTesZUJQ.mp4", "In which direction does the green triangle move?",
           ("left", "right", "up", "down"), 1, question_type=("event understanding", "reasoning")),
    sample("109", "all_videos/TiQBTesZUJQ.mp4", "What shape is the green one?",
           ("triangle", "circle", "square", "cross"), 0, question_type=("entity recognition",)),
]  # fmt: skip

CASES = Cases(
    samples={"test": SAMPLES},
    prompt="""\
What color does the cross turn into?
(A) red
(B) green
(C) yellow
(D) blue
Answer the question with the option letter""",
    rules=[
        (0, "(D) blue", True),
        (0, "D. blue", True),
        (0, "Don't know", True),  # the first character
        (0, "The answer is D", False),
    ],
    files=[
        File(
            path="video_info.meta.jsonl",
            fields=[
                (0, "key"),
                (0, "qa"),
                *((1, "qa", 1, field) for field in ("uid", "question", "answer", "question_type")),
            ],
            wrong=[
                ((0, "qa", 0, "answer"), "E", "expected a letter from A to D"),
                ((0, "qa", 0, "question"), "Why? (A) so (B) not", "expected a question and then its options"),
                ((0, "qa", 0, "question"), "Why?\n(A) so\n(C) not", "expected a question and then its options"),
                ((0, "qa"), [], "expected a list of rows"),
            ],
            twice=(0,),
            empty=[],
        )
    ],
)
