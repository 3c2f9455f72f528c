"""Miniature of ActivityNet-QA."""

from __future__ import annotations

from pathlib import Path

from tests.support.miniatures.base import ask, write_clip, write_json


def activitynet_qa(folder: Path) -> None:
    """Three test questions on two videos, one of them Matroska by name, and one of val."""
    asked = [
        ("1QIUV7WYKXg", "parade", "last", 4),
        ("1QIUV7WYKXg", "parade", "exists", 3),
        ("9eniCub7u60", "motion", "direction", 0),
        ("9eniCub7u60", "motion", "mover", 4),
    ]
    questions, answers = [], []
    for number, (video, story, kind, type_) in enumerate(asked):
        question, name = ask(story, kind), f"v_{video}_{number}"
        text = question.text.rstrip("?")
        questions.append({"video_name": video, "question": text[0].lower() + text[1:], "question_id": name})
        answers.append({"answer": question.answer, "type": type_, "question_id": name})
    for split, rows in (("test", slice(0, 3)), ("val", slice(3, 4))):
        write_json(folder / f"{split}_q.json", questions[rows])
        write_json(folder / f"{split}_a.json", answers[rows])
    write_clip(folder / "all_test/v_1QIUV7WYKXg.mp4", "parade")
    write_clip(folder / "all_test/v_9eniCub7u60.mkv", "motion")
