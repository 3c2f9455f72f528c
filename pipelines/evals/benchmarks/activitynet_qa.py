"""ActivityNet-QA, open-ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pipelines.evals.annotations import Fields, checked, find_video, json_rows, one_of
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.errors import UserError
from videollm.types import Clip

TYPES: Final = (
    "Motion", "Spatial Relation", "Temporal Relation", "Yes/No", "Color", "Object", "Location", "Number", "Other"
)  # fmt: skip
"""By their number; the official evaluation calls the last six Free."""


class ActivityNetQA(Benchmark):
    """8,000 questions (test) with short answers on 800 videos of human activities, 10 per video.

    Folder: {split}_q.json and {split}_a.json of https://github.com/MILVLG/activitynet-qa (or in dataset/), and the
    videos as ActivityNet names them, v_{video}.mp4 (.mkv, .webm), in all_test/, videos/ or the folder itself.
    Prompt: lmms-eval's (tasks/activitynetqa; the benchmark has none for chat models). Rule: evaluation/eval.py, the
    very answer; papers on chat models give the verdicts of a judge instead.
    """

    source = "https://github.com/MILVLG/activitynet-qa, and the videos of http://activity-net.org"
    kind = "open"
    splits = ("test", "val")
    groups = ("type",)

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions in the order of the annotation file."""
        questions, answers = self.files(folder, split)
        return checked(_samples(folder, questions, answers), [questions, answers])

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the files of the questions and of their answers."""
        return [one_of(folder, f"{split}_{part}.json", f"dataset/{split}_{part}.json") for part in "qa"]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question as a sentence, and how to answer."""
        return f"{sample.question.capitalize()}? Answer the question using a single word or phrase."

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether the output is the answer, character by character."""
        return text in sample.answer if isinstance(sample.answer, tuple) else None


def _samples(folder: Path, questions: Path, answers: Path) -> Iterator[Sample]:
    videos = [folder / "all_test", folder / "videos", folder]
    right: dict[str, Fields] = {}
    for fields in json_rows(answers):
        if right.setdefault(fields.text("question_id"), fields) is not fields:
            raise UserError(f"{fields.where}: a second answer to question {fields.text('question_id')!r}.")
    for fields in json_rows(questions):
        name = fields.text("question_id")
        if name not in right:
            raise UserError(f"{fields.where}: question_id is {name!r}, which {answers} does not answer.")
        kind = right[name].integer("type")
        if not 0 <= kind < len(TYPES):
            raise right[name].wrong("type", f"0 to {len(TYPES) - 1}")
        yield Sample(
            id=name,
            clip=Clip(video=find_video(videos, f"v_{fields.text('video_name')}")),
            question=fields.text("question"),
            answer=(right[name].text("answer"),),
            groups={"type": TYPES[kind]},
        )
