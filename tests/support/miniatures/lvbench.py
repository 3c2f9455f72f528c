"""Miniature of LVBench."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.miniatures.base import ask, options, write_clip


def lvbench(folder: Path) -> None:
    """Two videos with one and two questions, as THUDM/LVBench unpacks."""
    asked = {
        "Cm73ma6Ibcs": ("change", [("55", "becomes", 3, ["key information retrieval"])]),
        "TiQBTesZUJQ": ("motion", [("108", "direction", 1, ["event understanding", "reasoning"]),
                                   ("109", "shape", 0, ["entity recognition"])]),
    }  # fmt: skip
    lines = []
    for key, (story, questions) in asked.items():
        qa = []
        for uid, kind, right, types in questions:
            question = ask(story, kind)
            shown = [f"({letter}) {o}" for letter, o in zip("ABCD", options(question, 4, right), strict=True)]
            qa.append({"uid": uid, "question": "\n".join([question.text, *shown]), "answer": "ABCD"[right],
                       "question_type": types, "time_reference": "00:00-00:04"})  # fmt: skip
        lines.append({"key": key, "type": "cartoon", "video_info": {"duration_minutes": 0.07, "fps": 8.0}, "qa": qa})
        write_clip(folder / f"all_videos/{key}.mp4", story)
    (folder / "video_info.meta.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
