"""MLVU, multiple choice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import Fields, checked, first_there, json_rows, one_of
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.types import Clip

TASKS: Final = ("1_plotQA", "2_needle", "3_ego", "4_count", "5_order", "6_anomaly_reco", "7_topic_reasoning")
"""Annotation files of the dev set with options; 8_sub_scene and 9_summary are free text that a judge grades."""
PUBLISHED: Final = ("test-ground-truth/test_mcq_gt.json", "test_mcq_gt.json")
UNPUBLISHED: Final = ("test_multi_choice_tasks.json", "MLVU_Test/test_question.json", "test_question.json")
"""The test questions with and without their answers."""
REPAIRED: Final = {
    ("needle_4.mp4", "Catching a flying drone quadcopter"): "Catching the drone",
    ("needle_5.mp4", "Catching a flying drone quadcopter"): "Catching the drone",
}
"""Video and answer, where the official file's answer is none of its options -> the option that it means."""

_ASK: Final = (
    "Carefully watch this video and pay attention to every detail. Based on your observations, select the best option "
    "that accurately addresses the question."
)


class MLVU(Benchmark):
    """Seven tasks (dev, 4 options) or nine (test, 6 options) on videos of 3 minutes to 2 hours.

    Folder, dev: https://huggingface.co/datasets/MLVU/MVLU, or its folder MLVU: json/{task}.json, and
    video/{task}/{video} (or video/plotQA/ and so on, as the official scripts have it). Test:
    https://huggingface.co/datasets/MLVU/MLVU_Test with its parts unpacked: test-ground-truth/test_mcq_gt.json (without
    it test_multi_choice_tasks.json, unscored), and MLVU_Test/video/{video}.
    The headline is M-Avg, the mean over `question_type`.
    Prompt and rule: https://github.com/JUNJIE99/MLVU, multiple_choice_evaluation/choice_bench.py and
    evaluation_test/test_bench.py. The answer is not begun with `Best Option: (` for the model.
    Two dev answers are none of their options: strict scores take the option that is meant (REPAIRED), the official rule
    never counts them as right. Of two options that read the same, it counts the last. Two right options are blank. An
    entry without question and options (7_topic_reasoning.json has one in the GitHub copy) is no question.
    """

    splits = ("dev", "test")
    datasets = ("MLVU/MVLU", "MLVU/MLVU_Test")
    groups = ("question_type",)
    macro = "question_type"

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions task by task."""
        files = self.files(folder, split)
        if split == "test":
            return checked(_test(folder, *files), files)
        return checked((sample for file in files for sample in _dev(file)), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """List one file per task, or that of the test set."""
        if split == "test":
            return [one_of(folder, *PUBLISHED, *UNPUBLISHED)]
        return [one_of(folder, f"json/{task}.json", f"MLVU/json/{task}.json") for task in TASKS]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the official system message and question, in one turn."""
        options = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        return "\n".join([_ASK, f"Question: {sample.question}", "Options:", *options, "Only give the best option."])

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether the output is the right letter, or has that letter before its first `)`."""
        if not isinstance(sample.answer, int):
            return None
        if "repaired" in sample.groups:
            return False
        right = sample.options[sample.answer]
        last = max(i for i, option in enumerate(sample.options) if option == right)  # of two that read the same
        return official.mlvu(text, sample.options, last)

    def submission(self, chosen: Sequence[tuple[Sample, int | None]]) -> tuple[str, str]:
        """Write test_res.json, which the MLVU server takes; an answer that could not be read is no option."""
        rows = [
            {
                "question_id": sample.id,
                "question_type": sample.groups["question_type"],
                "option": "" if option is None else ascii_uppercase[option],
            }
            for sample, option in chosen
        ]
        return "test_res.json", json.dumps(rows, indent=4)


def _dev(file: Path) -> Iterator[Sample]:
    task = file.stem
    for number, fields in enumerate(json_rows(file)):
        name, options = fields.text("video"), fields.texts("candidates")
        if not fields.values.get("question") and not any(options):
            continue
        videos, groups = file.parent.parent / "video", {"question_type": fields.text("question_type")}
        meant = REPAIRED.get((name, str(fields.values.get("answer"))))
        if repaired := meant in options:
            groups["repaired"] = "yes"
        yield Sample(
            id=f"{task}/{number}",
            clip=Clip(video=str(first_there(videos / task / name, videos / task.partition("_")[2] / name))),
            question=fields.text("question"),
            options=options,
            answer=options.index(str(meant)) if repaired else fields.option("answer", options),
            groups=groups,
        )


def _test(folder: Path, file: Path) -> Iterator[Sample]:
    for fields in json_rows(file):
        name, options = fields.text("video"), fields.texts("candidates")
        yield Sample(
            id=fields.text("question_id"),
            clip=Clip(
                video=str(first_there(*(folder / at / name for at in ("MLVU_Test/video", "video", "MLVU_Test"))))
            ),
            question=fields.text("question"),
            options=options,
            answer=_published(file, fields, options),
            groups={"question_type": fields.text("question_type")},
        )


def _published(file: Path, fields: Fields, options: tuple[str, ...]) -> int | None:
    return fields.option("answer", options) if str(file).endswith(PUBLISHED) else None
