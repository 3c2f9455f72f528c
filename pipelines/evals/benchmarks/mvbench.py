"""MVBench."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import checked, first_there, json_rows
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.types import Clip

TASKS: Final = {
    "action_sequence": "star/Charades_v1_480",
    "action_prediction": "star/Charades_v1_480",
    "action_antonym": "ssv2_video",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "unexpected_action": "FunQA_test/test",
    "object_existence": "clevrer/video_validation",
    "object_interaction": "star/Charades_v1_480",
    "object_shuffle": "perception/videos",
    "moving_direction": "clevrer/video_validation",
    "action_localization": "sta/sta_video",
    "scene_transition": "scene_qa/video",
    "action_count": "perception/videos",
    "moving_count": "clevrer/video_validation",
    "moving_attribute": "clevrer/video_validation",
    "state_change": "perception/videos",
    "fine_grained_pose": "nturgbd",
    "character_order": "perception/videos",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa/frames_fps3_hq",
    "counterfactual_inference": "clevrer/video_validation",
}
"""Task, in the official order -> folder of its videos."""
SEGMENTS: Final = frozenset(
    {"action_sequence", "action_prediction", "object_interaction", "action_localization", "episodic_reasoning"}
)
"""Tasks that ask about a part of the video; the others' start and end, if there are any, are not used."""
FRAMES_PER_SECOND: Final = {"episodic_reasoning": 3.0}
"""Tasks whose videos are folders of images."""

_ASK: Final = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of "
    "objects, and the action and pose of persons. Based on your observations, select the best option that accurately "
    "addresses the question."
)


class MVBench(Benchmark):
    """20 tasks of 200 questions with 3 to 5 options, each task on videos of another dataset.

    Folder: https://huggingface.co/datasets/OpenGVLab/MVBench with its zips unpacked: json/{task}.json, and the folders
    of TASKS in video/ or beside it; data0613.zip adds videos that other zips lack and is read where it unpacks to.
    Prompt, rule and tasks: https://github.com/OpenGVLab/Ask-Anything, video_chat2/mvbench.ipynb (`infer_mvbench`,
    `check_ans`, `data_list`). The answer is not begun with `Best option:(` for the model. A segment's end past that of
    the video is cut, as there.
    """

    datasets = ("OpenGVLab/MVBench",)
    groups = ("task",)
    macro = "task"
    max_new_tokens = 100

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions of all tasks."""
        files = zip(TASKS, self.files(folder, split), strict=True)
        return [sample for task, file in files for sample in checked(_samples(folder, task, file), [file])]

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """List one file per task."""
        return [folder / f"json/{task}.json" for task in TASKS]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the official system message and question, in one turn."""
        options = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        asked = [f"Question: {sample.question}", "Options:", *options, "Only give the best option."]
        return "\n".join([_ASK, *asked])

    def official(self, sample: Sample, text: str) -> bool:
        """Tell whether the first word is part of the right option's letter in brackets, or the other way round."""
        assert isinstance(sample.answer, int)
        return official.mvbench(text, sample.options, sample.answer)


def _samples(folder: Path, task: str, annotations: Path) -> Iterator[Sample]:
    for number, fields in enumerate(json_rows(annotations)):
        name, options = fields.text("video"), fields.texts("candidates")
        in_part = task in SEGMENTS
        start, end = fields.segment(required=True) if in_part else (None, None)
        places = (folder / at / TASKS[task] / name for at in ("video", "video/data0613", ".", "data0613"))
        video = str(first_there(*places))
        yield Sample(
            id=f"{task}/{number}",
            clip=Clip(video=video, start=start, end=end, cut_end=in_part, fps=FRAMES_PER_SECOND.get(task)),
            question=fields.text("question"),
            options=options,
            answer=fields.option("answer", options),
            groups={"task": task},
        )
