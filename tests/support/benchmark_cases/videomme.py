"""Video-MME."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.benchmark_cases.base import Cases, File, sample

SUBTITLES = Path("subtitle/fFjv93ACGo8.srt")
SHORT = {"duration": "short", "domain": "Knowledge", "sub_category": "Astronomy", "task_type": "Temporal Perception"}
MEDIUM = {"duration": "medium", "domain": "Life Record", "sub_category": "Travel"}
LONG = {"duration": "long", "domain": "Knowledge", "sub_category": "Technology", "task_type": "Object Recognition"}
SAMPLES = [
    replace(sample("001-1", "data/fFjv93ACGo8.mp4", "What color comes first?", ("red", "green", "blue", "orange"), 3,
                   **SHORT), subtitles=SUBTITLES),
    replace(sample("001-2", "data/fFjv93ACGo8.mp4", "What color comes last?", ("red", "blue", "green", "yellow"), 1,
                   **SHORT), subtitles=SUBTITLES),
    sample("301-1", "data/N1cdUjctpG8.mp4", "In which direction does the green triangle move?",
           ("left", "right", "up", "down"), 1, **MEDIUM, task_type="Temporal Perception"),
    sample("301-2", "data/N1cdUjctpG8.mp4", "What shape is the green one?", ("circle", "square", "cross", "triangle"),
           3, **MEDIUM, task_type="Object Recognition"),
    sample("601-1", "data/wPYPxbpkbXI.mp4", "How many shapes are there?", ("four", "one", "two", "three"), 0, **LONG),
    sample("601-2", "data/wPYPxbpkbXI.mp4", "What shape is the orange one?",
           ("square", "triangle", "circle", "cross"), 2, **LONG),
]  # fmt: skip
FIELDS = ("videoID", "question_id", "question", "options", "answer", "duration", "domain", "task_type")

CASES = Cases(
    samples={"test": SAMPLES},
    prompt="""\
Select the best answer to the following multiple-choice question based on the video. \
Respond with only the letter (A, B, C, or D) of the correct option.
What color comes first?
A. red
B. green
C. blue
D. orange
The best answer is:""",
    rules=[
        (0, "D", True),
        (0, "The best answer is D", True),
        (0, "Answer: (D) because...", False),  # the A of Answer
        (0, "", False),
    ],
    files=[
        File(
            path="videomme/test-00000-of-00001.parquet",
            fields=[(0, field) for field in FIELDS],
            wrong=[
                ((0, "answer"), "E", "answer is ", "expected a letter from A to D"),
                ((0, "answer"), "", "answer is ", "expected text"),
                ((0, "options"), ["red", "green"], "options is ", "expected options with their letters"),
                ((0, "options"), ["B. red", "A. green"], "options is ", "expected options with their letters"),
                ((0, "options"), [], "options is ", "expected a list of texts"),
            ],
            twice=(0,),
            empty=[],
        )
    ],
)
