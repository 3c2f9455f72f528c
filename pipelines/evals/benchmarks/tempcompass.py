"""TempCompass: multiple choice, yes or no, and caption matching."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import Fields, checked, find_video, one_of, parquet_rows, read_json
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.errors import UserError
from videollm.types import Clip

TASKS: Final = ("multi-choice", "yes_no", "caption_matching")
_LETTERED: Final = re.compile(r"([A-Z])\.(.*)")


class TempCompass(Benchmark):
    """410 short videos and their reversed, slowed or joined doubles, asked about what only time tells.

    Folder: the videos in videos/, and questions/{task}.json of https://github.com/llyx97/TempCompass, or
    {task}/test-00000-of-00001.parquet of https://huggingface.co/datasets/lmms-lab/TempCompass with its zip unpacked.
    Groups: `task`, and `dim` (action, direction, speed, order, attribute_change). The fourth task, captioning, is
    graded by a chat model and left out.
    Options of caption matching keep their labels ("Sentence A: ..."), which are part of the question.
    Prompts: run_video_llava/inference_dataset.py (`answer_prompt`). Rules: eval_multi-choice.py, eval_yes_no.py and
    eval_caption_matching.py with --disable_llm: without a chat model for what they cannot match.
    """

    datasets = ("lmms-lab/TempCompass",)
    groups = ("task", "dim")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions task by task."""
        files = self.files(folder, split)
        found = (sample for task, file in zip(TASKS, files, strict=True) for sample in _samples(folder, task, file))
        return checked(found, files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """List one file per task."""
        return [one_of(folder, f"questions/{task}.json", f"{task}/test-00000-of-00001.parquet") for task in TASKS]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question, options where they are shown, and how to answer."""
        task = sample.groups["task"]
        if task == "yes_no":
            return f"{sample.question}\nPlease answer yes or no:"
        options: Sequence[str] = sample.options
        if task == "multi-choice":
            options = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
        return "\n".join([sample.question, *options, "Please directly give the best option:"])

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether the rule of the question's task matches the output with the right answer."""
        if not isinstance(sample.answer, int):
            return None
        rule = {
            "multi-choice": official.tempcompass_multi_choice,
            "yes_no": official.tempcompass_yes_no,
            "caption_matching": official.tempcompass_caption_matching,
        }[str(sample.groups["task"])]
        return rule(text, sample.options, sample.answer)


def _samples(folder: Path, task: str, file: Path) -> Iterator[Sample]:
    videos, asked = [folder / "videos", folder / "tempcompass_videos/videos"], Counter[tuple[str, str]]()
    for fields in parquet_rows(file) if file.suffix == ".parquet" else _rows(file):
        video, dim = fields.text("video_id"), fields.text("dim")
        question, options, answer = _OPTIONS[task](fields)
        yield Sample(
            id=f"{task}/{video}/{dim}/{asked[video, dim]}",
            clip=Clip(video=find_video(videos, video)),
            question=question,
            options=options,
            lettered=task != "yes_no",
            answer=answer,
            groups={"task": task, "dim": dim},
        )
        asked[video, dim] += 1


def _rows(file: Path) -> Iterator[Fields]:
    """Yield rows of a JSON file of videos, in each its dimensions, in each the questions."""
    videos = read_json(file)
    if not isinstance(videos, dict):
        raise UserError(f"{file} holds {type(videos).__name__}, expected videos by their names.")
    for video, dims in videos.items():
        of_video = Fields(dims, f"{file}, {video}")
        for dim in of_video.values:
            for row in of_video.rows(dim):
                yield Fields({**row.values, "video_id": video, "dim": dim}, row.where)


def _multi_choice(fields: Fields) -> tuple[str, tuple[str, ...], int]:
    """Split a line for the question and one for each option, `A. ...` first; the answer is such a line."""
    question, *lines = fields.text("question").split("\n")
    found = [_LETTERED.fullmatch(line.strip()) for line in lines]
    options = tuple(match[2].strip() for match in found if match)
    if len(options) < 2 or [match and match[1] for match in found] != list(ascii_uppercase[: len(lines)]):
        raise fields.wrong("question", "a line for the question and one for each option: A. ..., B. ...")
    answer = _LETTERED.fullmatch(fields.text("answer").strip())
    if answer is None or (answer[1], answer[2].strip()) not in zip(ascii_uppercase, options, strict=False):
        raise fields.wrong("answer", f"one of its options with its letter {list(options)}")
    return question, options, ascii_uppercase.index(answer[1])


def _yes_no(fields: Fields) -> tuple[str, tuple[str, ...], int]:
    options = ("yes", "no")
    return fields.text("question"), options, fields.option("answer", options)


def _caption_matching(fields: Fields) -> tuple[str, tuple[str, ...], int]:
    """Split a line for the question and one for each labelled option; the answer is such a line."""
    question, *options = fields.text("question").split("\n")
    if len(options) < 2 or not all(": " in option for option in options):
        raise fields.wrong("question", "a line for the question and one for each option: Sentence A: ...")
    return question, tuple(options), fields.option("answer", tuple(options))


_OPTIONS: Final = {"multi-choice": _multi_choice, "yes_no": _yes_no, "caption_matching": _caption_matching}
