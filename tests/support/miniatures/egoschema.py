"""Miniature of EgoSchema."""

from __future__ import annotations

from pathlib import Path

from tests.support.miniatures.base import ask, options, write_clip, write_json


def egoschema(folder: Path) -> None:
    """3 questions, 2 of them in the subset."""
    rows, answers = [], {}
    for i, (story, kind, right) in enumerate([("parade", "first", 4), ("motion", "end", 2), ("change", "becomes", 0)]):
        uid, question = f"{i:08x}-11cb-497d-8d07-77c3a8127391", ask(story, kind)
        write_clip(folder / f"videos/{uid}.mp4", story)
        texts = {f"option {j}": text for j, text in enumerate(options(question, 5, right))}
        rows.append({"q_uid": uid, "google_drive_id": "1q3zLSdyVTWr_BLUzsEe", "question": question.text, **texts})
        if i != 1:
            answers[uid] = right
    write_json(folder / "questions.json", rows)
    write_json(folder / "subset_answers.json", answers)
