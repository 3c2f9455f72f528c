"""Miniature of CG-Bench."""

from __future__ import annotations

from pathlib import Path

from tests.support.miniatures.base import ask, options, write_clip, write_json


def cg_bench(folder: Path) -> None:
    """Two questions on two videos, as CG-Bench/CG-Bench unpacks."""
    rows = []
    for qid, (uid, story, kind, right, clues) in enumerate(
        [("aB3", "change", "becomes", 3, [[2.0, 3.5]]), ("cD4", "motion", "direction", 1, [[0.0, 1.0], [3, 4]])]
    ):
        question = ask(story, kind)
        write_clip(folder / f"cg_videos_720p/{uid}.mp4", story)
        choices = options(question, 4, right)
        rows.append({"qid": qid, "video_uid": uid, "question": question.text, "choices": list(choices),
                     "answer": question.answer, "right_answer": "ABCD"[right], "domain": "Shapes",
                     "sub_category": f"{kind} perception", "clue_intervals": clues, "duration": 4.0})  # fmt: skip
    for name in ("cgbench", "cgbench_mini"):
        write_json(folder / f"{name}.json", rows)
