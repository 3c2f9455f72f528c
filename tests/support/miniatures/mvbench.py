"""Miniature of MVBench."""

from __future__ import annotations

from pathlib import Path

from pipelines.evals.benchmarks.mvbench import TASKS
from tests.support.miniatures.base import ask, options, write_clip, write_frames, write_json


def mvbench(folder: Path) -> None:
    """One question a task, as OpenGVLab/MVBench unpacks: segments, images at 3 a second, videos of data0613.zip."""
    stories = ("parade", "motion", "change", "still")
    asked = {
        "parade": ("last", 4, 2),
        "motion": ("direction", 4, 1),
        "change": ("becomes", 3, 0),
        "still": ("count", 4, 3),
    }
    for i, (task, at) in enumerate(TASKS.items()):
        story = stories[i % 4]
        kind, count, right = asked[story]
        question = ask(story, kind)
        row = {"video": f"{story}.mp4", "question": question.text, "candidates": list(options(question, count, right))}
        row["answer"] = question.answer
        if task == "episodic_reasoning":
            row |= {"video": "castle_s03e05", "start": 0.0, "end": 3.5}
            write_frames(folder / "video" / at / "castle_s03e05", story, fps=3)
        elif task == "action_localization":
            row |= {"start": 0.0, "end": 4.7}  # past the end of the video, as some of the official ones are
            write_clip(folder / "video" / at / f"{story}.mp4", story)
        elif task in ("action_sequence", "action_prediction", "object_interaction"):
            row |= {"start": 0.0, "end": 4.0, "accurate_start": 0.0, "accurate_end": 4.0}
            write_clip(folder / "video/data0613" / at / f"{story}.mp4", story)
        else:
            write_clip(folder / "video" / at / f"{story}.mp4", story)
        write_json(folder / f"json/{task}.json", [row])
