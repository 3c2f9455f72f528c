"""Perception Test, multiple choice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import Fields, checked, find_video, one_of, parquet_rows, read_json
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.errors import UserError
from videollm.types import Clip

FLAT: Final = {
    "valid": ("mc_question_val/validation-00000-of-00001.parquet",),
    "test": ("mc_question/test-00000-of-00001.parquet",),
}
"""Annotations in the form of lmms-lab/PerceptionTest_Val and lmms-lab/PerceptionTest."""


class PerceptionTest(Benchmark):
    """Questions with 3 options on videos of 23 s on average, filmed to show what is asked.

    Folder: the archives of https://github.com/google-deepmind/perception_test unpacked: mc_question_{split}.json or
    all_{split}.json (or in {archive}/), and videos/{video}.mp4 (or {split}_videos/videos/); or
    https://huggingface.co/datasets/lmms-lab/PerceptionTest_Val (.../PerceptionTest for `test`) with its zips unpacked.
    The end of some videos gives the answer away. The official test videos are cut; for `valid` the cut is applied if
    cut_frame_mapping_valid.json of the same page lies in the folder (lmms-eval does not apply it).
    A question counts in each of its tags. The answers of `test` are not published.
    Prompt and rule: https://github.com/DAMO-NLP-SG/VideoLLaMA2, eval/inference_video_mcqa_perception_test_mcqa.py; the
    benchmark has none for chat models.
    """

    splits = ("valid", "test")
    datasets = ("lmms-lab/PerceptionTest_Val", "lmms-lab/PerceptionTest")
    groups = ("area", "reasoning", "tag")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions video by video."""
        files = self.files(folder, split)
        return checked(_samples(folder, split, *files), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the questions, and that of the videos' cuts if it is there."""
        names = [f"mc_question_{split}", f"all_{split}"]
        places = [f"{at}{name}.json" for name in names for at in ("", f"{name}_annotations/", "annotations/")]
        questions = one_of(folder, *places, f"{split}_annotations/all_{split}.json", *FLAT[split])
        cuts = folder / f"cut_frame_mapping_{split}.json"
        if cuts.is_file() and questions.suffix == ".parquet":
            raise UserError(f"{cuts} counts frames, and {questions} has no frame rates. Use mc_question_{split}.json.")
        return [questions, cuts] if cuts.is_file() else [questions]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question, lettered options and how to answer."""
        options = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        answer = "Answer with the option's letter from the given choices directly and only give the best option."
        return "\n".join([f"Question: {sample.question}", "Options:", *options, answer])

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether the first letter A to C is right, or without such a letter, the text is the right option's."""
        return official.perception_test(text, sample.options, sample.answer) if isinstance(sample.answer, int) else None

    def submission(self, chosen: Sequence[tuple[Sample, int | None]]) -> tuple[str, str]:
        """Write the challenge's file, which wants an option for every question; what could not be read is missing."""
        answers: dict[str, list[dict[str, int | str]]] = {}
        for sample, option in chosen:
            video, _, number = sample.id.rpartition("/")
            of_video = answers.setdefault(video, [])
            if option is not None:
                of_video.append(
                    {
                        "id": int(number) if number.isdigit() else number,
                        "answer_id": option,
                        "answer": sample.options[option],
                    }
                )
        return "perception_test_mcqa.json", json.dumps(answers)


def _samples(folder: Path, split: str, questions: Path, cuts: Path | None = None) -> Iterator[Sample]:
    videos = [folder / at for at in ("videos", f"{split}_videos/videos", f"{split}/videos", ".")]
    if questions.suffix == ".parquet":
        for row in parquet_rows(questions):
            video = row.text("video_name")
            yield _sample(row, "question_id", video, Clip(video=find_video(videos, video)), split)
        return
    cut = {} if cuts is None else _table(cuts)
    for video, held in _table(questions).items():
        fields = Fields(held, f"{questions}, {video}")
        if not fields.values.get("mc_question"):
            continue  # all_{split}.json has videos of other tasks alone
        clip = Clip(video=find_video(videos, video), end=_end(fields, cut.get(video, -1), cuts))
        for row in fields.rows("mc_question"):
            yield _sample(row, "id", video, clip, split)


def _sample(row: Fields, number: str, video: str, clip: Clip, split: str) -> Sample:
    options = row.texts("options")
    groups: dict[str, str | tuple[str, ...]] = dict.fromkeys(PerceptionTest.groups, "not published")
    if split != "test":
        groups = {"area": row.text("area"), "reasoning": row.text("reasoning"), "tag": _tags(row)}
    return Sample(
        id=f"{video}/{row.text(number)}",
        clip=clip,
        question=row.text("question"),
        options=options,
        answer=None if split == "test" else row.index("answer_id", options),
        groups=groups,
    )


def _tags(row: Fields) -> tuple[str, ...]:
    return ("none",) if row.values.get("tag") == [] else row.texts("tag")


def _end(fields: Fields, frame: object, cuts: Path | None) -> float | None:
    """Return the seconds at which a video is cut; frame -1 is no cut."""
    if frame == -1:
        return None
    rate = Fields(fields.values.get("metadata"), f"{fields.where}, metadata").seconds("frame_rate")
    if not isinstance(frame, int) or frame < 1 or not rate:
        raise UserError(
            f"{fields.where}: frame_rate is {rate!r} and {cuts} cuts the video at {frame!r}; "
            "expected frames per second, and a frame or -1."
        )
    return frame / rate


def _table(path: Path) -> Mapping[str, object]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds {type(values).__name__}, expected videos by their names.")
    return values
