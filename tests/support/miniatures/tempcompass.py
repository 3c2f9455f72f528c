"""Miniature of TempCompass."""

from __future__ import annotations

from pathlib import Path

from tests.support.miniatures.base import ask, options, write_clip, write_json


def tempcompass(folder: Path) -> None:
    """Two questions a task on two videos, as in the repository."""
    story, other = "1034419625", "1034419625_reverse"
    write_clip(folder / f"videos/{story}.mp4", "motion")
    write_clip(folder / f"videos/{other}.mp4", "grow")
    way, end, grow = ask("motion", "direction"), ask("motion", "end"), ask("grow", "grow")
    lettered = [f"{letter}. {o}" for letter, o in zip("ABCD", options(way, 4, 1), strict=True)]
    also = [f"{letter}.{o}" for letter, o in zip("AB", options(grow, 2, 0), strict=True)]
    asked = {
        "multi-choice": {story: {"direction": [_line(way.text, lettered, 1)]},
                         other: {"attribute_change": [_line(grow.text, also, 0)]}},
        "yes_no": {story: {"action": [{"question": "Is anything blue?", "answer": "no"},
                                      {"question": "Is anything green?", "answer": "yes"}]}},
        "caption_matching": {
            story: {"direction": [_line("Which description is a more suitable match for the video?",
                                        ["Option 1: It moves left.", "Option 2: It moves right."], 1)],
                    "order": [_line("Which sentence better captures the essence of the video?",
                                    [f"Sentence A: It ends {end.answer}.", "Sentence B: It ends left."], 0)]}},
    }  # fmt: skip
    for task, questions in asked.items():
        write_json(folder / f"questions/{task}.json", questions)


def _line(question: str, shown: list[str], right: int) -> dict[str, str]:
    return {"question": "\n".join([question, *shown]), "answer": shown[right]}
