"""EgoSchema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import Fields, checked, find_video, json_rows, read_json
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.errors import UserError
from videollm.types import Clip

UNREAD: Final = -1
"""Stands in the submission for an answer that names no option: the server counts it as wrong."""

_ASK: Final = "Select the best answer to the following multiple-choice question based on the video."
_ANSWER: Final = (
    "Answer with the option's letter from the given choices directly and only give the best option. The best answer is:"
)


class EgoSchema(Benchmark):
    """5031 questions with 5 options on clips of 180 s; the answers to 500 are public.

    The split `subset` is those 500, scored; `full` is all of them, without answers, for the server.
    Folder: https://github.com/egoschema/EgoSchema, questions.json and subset_answers.json, with the clips in videos/
    (as its download.py puts them) or good_clips_git/ (as its zip unpacks): {q_uid}.mp4.
    Submission: a CSV of `q_uid,answer`, indices from 0, for https://www.kaggle.com/competitions/egoschema-public.
    Prompt and rule: VideoLLaMA2's (videollama2/eval/inference_video_mcqa_egoschema.py); the benchmark itself takes
    indices and has neither.
    """

    source = "https://github.com/egoschema/EgoSchema"
    splits = ("subset", "full")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions in the order of questions.json."""
        files = self.files(folder, split)
        return checked(_samples(folder, *files), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the questions and, for the subset, that of its answers."""
        questions, answers = folder / "questions.json", folder / "subset_answers.json"
        return [questions, answers] if split == "subset" else [questions]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write VideoLLaMA2's prompt, without the blank at its end."""
        options = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        return "\n".join([_ASK, sample.question, "Options:", *options, _ANSWER])

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether VideoLLaMA2 reads the right letter, where the answer is public."""
        if not isinstance(sample.answer, int):
            return None
        return official.egoschema(text, sample.options, sample.answer)

    def submission(self, chosen: Sequence[tuple[Sample, int | None]]) -> tuple[str, str]:
        """Write the file for the server, one row per question; `UNREAD` where no option was read."""
        rows = [f"{sample.id},{UNREAD if index is None else index}\n" for sample, index in chosen]
        return "egoschema_submission.csv", "".join(["q_uid,answer\n", *rows])


def _samples(folder: Path, questions: Path, subset: Path | None = None) -> Iterator[Sample]:
    answers = None if subset is None else Fields(read_json(subset), str(subset))
    unused = set() if answers is None else set(answers.values)
    for fields in json_rows(questions):
        id = fields.text("q_uid")
        if answers is not None and id not in answers.values:
            continue
        unused.discard(id)
        options = tuple(fields.text(f"option {i}") for i in range(5))
        yield Sample(
            id=id,
            clip=Clip(video=find_video((folder / "videos", folder / "good_clips_git"), id)),
            question=fields.text("question"),
            options=options,
            answer=None if answers is None else answers.index(id, options),
        )
    if unused:
        raise UserError(f"{subset} answers questions that {questions} has not: {', '.join(sorted(unused)[:3])}.")
