"""Miniature of Perception Test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.miniatures.base import ask, options, write_clip, write_json


def perception_test(folder: Path) -> None:
    """Two valid videos with three questions, one of them cut, one video of another task, and a test video."""
    asked: dict[str, tuple[str, list[tuple[str, int, dict[str, Any]]]]] = {
        "video_10": ("still", [("count", 0, {"area": "Semantics", "reasoning": "Descriptive",
                                             "tag": ["counting", "spatial relations"]}),
                               ("shape", 2, {"area": "Memory", "reasoning": "Descriptive", "tag": ["matching"]})]),
        "video_11": ("parade", [("first", 1, {"area": "Memory", "reasoning": "Explanatory", "tag": ["sequencing"]})]),
        "video_12": ("motion", [("mover", 1, {})]),
    }  # fmt: skip
    videos: dict[str, Any] = {}
    for video, (story, questions) in asked.items():
        rows = []
        for number, (kind, right, groups) in enumerate(questions):
            question = ask(story, kind)
            row = {"id": number, "question": question.text, "options": list(options(question, 3, right)), **groups}
            rows.append(row | ({"answer_id": right} if video != "video_12" else {}))
        metadata = {"split": "valid", "video_id": video, "frame_rate": 8.0, "num_frames": 32, "resolution": [96, 96]}
        videos[video] = {"metadata": metadata, "mc_question": rows}
        write_clip(folder / f"videos/{video}.mp4", story)
    write_json(folder / "mc_question_test.json", {"video_12": videos.pop("video_12")})
    videos["video_13"] = {"metadata": {"video_id": "video_13"}, "mc_question": []}
    write_json(folder / "mc_question_valid.json", videos)
    write_json(folder / "cut_frame_mapping_valid.json", {"video_10": 24, "video_11": -1})
