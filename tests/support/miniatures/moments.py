"""Miniatures of Charades-STA and QVHighlights."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.miniatures.base import write_clip


def charades_sta(folder: Path) -> None:
    """Two videos with two sentences and one, as TALL's files have them."""
    for name, story in (("3MSZA", "change"), ("AMT7R", "motion")):
        write_clip(folder / f"Charades_v1/{name}.mp4", story)
    lines = [
        "3MSZA 0.0 1.9##a circle is red.",
        "3MSZA 2.0 4.0##a circle turns blue.",
        "AMT7R 0.5 3.1##a triangle moves.",
    ]
    for split in ("test", "train"):
        (folder / f"charades_sta_{split}.txt").write_text("\n".join(lines) + "\n")


def qvhighlights(folder: Path) -> None:
    """Two queries, one of them with two moments; the test split has none."""
    rows = [
        {"qid": 2579, "query": "A girl and her mother cooked.", "duration": 150, "vid": "NUsG9BgSes0_210.0_360.0",
         "relevant_windows": [[0, 2], [30, 62]], "relevant_clip_ids": [0], "saliency_scores": [[4, 1, 1]]},
        {"qid": 9472, "query": "A circle turns blue.", "duration": 4, "vid": "j7rJstUseKg_0.0_4.0",
         "relevant_windows": [[2, 4]], "relevant_clip_ids": [1], "saliency_scores": [[4, 4, 3]]},
    ]  # fmt: skip
    for row, story in zip(rows, ("motion", "change"), strict=True):
        write_clip(folder / f"videos/{row['vid']}.mp4", story)
    bare = [{name: row[name] for name in ("qid", "query", "duration", "vid")} for row in rows]
    for split, held in (("val", rows), ("test", bare)):
        text = "".join(json.dumps(row) + "\n" for row in held)
        (folder / f"highlight_{split}_release.jsonl").write_text(text)
