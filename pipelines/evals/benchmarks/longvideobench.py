"""LongVideoBench."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase

from pipelines.evals.annotations import checked, json_rows
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.types import Clip


class LongVideoBench(Benchmark):
    """Questions that refer to a moment, 2 to 5 options, on videos of 8 s to 1 hour with subtitles.

    Folder: https://huggingface.co/datasets/longvideobench/LongVideoBench with its archives unpacked: lvb_val.json
    (lvb_test_wo_gt.json has no answers and is exported for the leaderboard), videos/ and subtitles/.
    Groups: `duration_group` (at most 15, 60, 600 or 3600 seconds), and `question_category`.
    Prompt: https://github.com/longvideobench/LongVideoBench, longvideobench_dataset.py, which puts the subtitles
    between the frames; here those of the sampled frames stand before the question. Rule: lmms-eval's, which says it is
    the authors' (tasks/longvideobench/utils.py, `parse_multi_choice_response`).
    """

    splits = ("val", "test")
    datasets = ("longvideobench/LongVideoBench", "longvideobench/LongVideoBench")
    groups = ("duration_group", "question_category")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions in the order of the annotation file."""
        files = self.files(folder, split)
        return checked(_samples(folder, files[0], published=split == "val"), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the questions."""
        return [folder / ("lvb_val.json" if split == "val" else "lvb_test_wo_gt.json")]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question, lettered options and how to answer."""
        options = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        answer = "Answer with the option's letter from the given choices directly."
        return "\n".join([f"Question: {sample.question}", *options, answer])

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether the first capital A to E is the right letter, once set phrases are cut out."""
        return official.longvideobench(text, sample.options, sample.answer) if isinstance(sample.answer, int) else None

    def submission(self, chosen: Sequence[tuple[Sample, int | None]]) -> tuple[str, str]:
        """Write the leaderboard's file: id -> letter; an answer that could not be read is none."""
        letters = {sample.id: "" if option is None else ascii_uppercase[option] for sample, option in chosen}
        return "longvideobench_test_for_submission.json", json.dumps(letters)


def _samples(folder: Path, file: Path, *, published: bool) -> Iterator[Sample]:
    for fields in json_rows(file):
        options = fields.texts("candidates")
        yield Sample(
            id=fields.text("id"),
            clip=Clip(video=str(folder / "videos" / fields.text("video_path"))),
            question=fields.text("question"),
            options=options,
            answer=fields.index("correct_choice", options) if published else None,
            groups={name: fields.text(name) for name in LongVideoBench.groups},
            subtitles=folder / "subtitles" / fields.text("subtitle_path"),
            subtitles_from=fields.seconds("starting_timestamp_for_subtitles") or 0.0,
        )
