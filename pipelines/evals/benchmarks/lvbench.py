"""LVBench."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import Fields, checked, find_video, jsonl_rows, one_of
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.types import Clip

_OPTION: Final = re.compile(r"\n\s*\(([A-Z])\)")


class LVBench(Benchmark):
    """1,549 questions with 4 options on 103 videos of 68 minutes on average.

    Folder: https://huggingface.co/datasets/THUDM/LVBench: video_info.meta.jsonl (or in data/, as the official
    repository wants it), and the videos by their YouTube ids in all_videos/ (as its zip unpacks) or videos/. The
    official download script numbers the videos instead: name them by their ids.
    A question counts in each of its question types, as in https://github.com/THUDM/LVBench,
    lvbench/metrics/compute_accuracy.py.
    Prompt: lmms-eval's (tasks/lvbench; the benchmark has none). Rule: lvbench/utils/answer_util.py, `polish_answer`.
    """

    datasets = ("THUDM/LVBench",)
    groups = ("question_type",)

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions video by video."""
        files = self.files(folder, split)
        videos = [folder / at for at in ("all_videos", "videos", "data/all_videos", ".")]
        return checked((s for fields in jsonl_rows(files[0]) for s in _samples(fields, videos)), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of videos with their questions."""
        return [one_of(folder, "video_info.meta.jsonl", "data/video_info.meta.jsonl")]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question, lettered options and how to answer."""
        options = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        return "\n".join([sample.question, *options, "Answer the question with the option letter"])

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether the first character in brackets, or of the whole text, is the right letter."""
        return official.lvbench(text, sample.options, sample.answer) if isinstance(sample.answer, int) else None


def _samples(fields: Fields, videos: Sequence[Path]) -> Iterator[Sample]:
    video = find_video(videos, fields.text("key"))
    for qa in fields.rows("qa"):
        question, options = _split(qa)
        yield Sample(
            id=qa.text("uid"),
            clip=Clip(video=video),
            question=question,
            options=options,
            answer=qa.letter("answer", options),
            groups={"question_type": qa.texts("question_type")},
        )


def _split(qa: Fields) -> tuple[str, tuple[str, ...]]:
    """Split question and options, which stand in one text: a line for each option, `(A)` first."""
    question, *pieces = _OPTION.split(qa.text("question"))
    letters, options = pieces[::2], tuple(option.strip() for option in pieces[1::2])
    if not question.strip() or len(options) < 2 or letters != list(ascii_uppercase[: len(options)]):
        raise qa.wrong("question", "a question and then its options, each on its line: (A) ..., (B) ...")
    return question.strip(), options
