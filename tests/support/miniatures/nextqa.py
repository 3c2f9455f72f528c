"""Miniature of NExT-QA."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.support.miniatures.base import SIZE, ask, options, write_clip, write_json


def nextqa(folder: Path) -> None:
    """A val.csv of 4 questions on 2 videos, one where the map says and one beside it; a test.csv of one."""
    asked = [
        ("4010069381", "parade", "first", 2, "6", "TN"),
        ("4010069381", "parade", "last", 0, "7", "TP"),
        ("4882821564", "motion", "mover", 4, "1", "CW"),
        ("4882821564", "motion", "start", 1, "10", "DL"),
    ]
    rows = []
    for video, story, kind, right, qid, type_ in asked:
        question = ask(story, kind)
        texts = {f"a{j}": text + " " * (j == 3) for j, text in enumerate(options(question, 5, right))}
        rows.append({"video": video, "frame_count": 32, "width": SIZE, "height": SIZE,
                     "question": question.text, "answer": right, "qid": qid, "type": type_, **texts})  # fmt: skip
    for split, chosen in (("val", rows), ("test", rows[2:3])):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(chosen)
    write_json(folder / "map_vid_vidorID.json", {"4010069381": "1106/4010069381", "4882821564": "0065/4882821564"})
    write_clip(folder / "NExTVideo/1106/4010069381.mp4", "parade")
    write_clip(folder / "NExTVideo/4882821564.mp4", "motion")
