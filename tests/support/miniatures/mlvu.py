"""Miniature of MLVU."""

from __future__ import annotations

from pathlib import Path

from pipelines.evals.benchmarks.mlvu import TASKS
from tests.support.miniatures.base import ask, options, write_clip, write_json


def mlvu(folder: Path) -> None:
    """One question a dev task, as MLVU/MVLU unpacks, and two test questions, as MLVU/MLVU_Test does."""
    asked = (
        "still count",
        "parade first",
        "motion direction",
        "grow shape",
        "parade last",
        "change becomes",
        "pan pan",
    )
    for task, (story, kind) in zip(TASKS, map(str.split, asked), strict=True):
        question = ask(story, kind)
        row = {
            "video": f"{story}_1.mp4",
            "duration": 4,
            "question": question.text,
            "candidates": list(options(question, 4, 2)),
            "answer": question.answer,
            "question_type": {"2_needle": "findNeedle"}.get(task, task.partition("_")[2]),
        }
        blank = {**row, "question": "", "candidates": [""] * 4, "answer": ""}  # as the official one on GitHub
        write_json(folder / f"MLVU/json/{task}.json", [row, blank] if task == "7_topic_reasoning" else [row])
        write_clip(folder / f"MLVU/video/{task}/{story}_1.mp4", story)
    rows = []
    for number, (story, kind) in (("AR_0", ("change", "where")), ("TQ_7", ("motion", "mover"))):
        question = ask(story, kind)
        row = {"video": f"test_{story}_1.mp4", "duration": 4.0, "question": question.text, "question_id": number}
        row |= {"candidates": list(options(question, 6, 4)), "answer": question.answer}
        rows.append({**row, "question_type": {"AR_0": "anomaly_reco", "TQ_7": "tutorialQA"}[number]})
        write_clip(folder / f"MLVU_Test/video/test_{story}_1.mp4", story)
    write_json(folder / "test-ground-truth/test_mcq_gt.json", rows)
    write_json(folder / "test_multi_choice_tasks.json", [{k: v for k, v in r.items() if k != "answer"} for r in rows])
