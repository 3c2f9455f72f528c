"""Parts of miniature folders in official layouts: real videos of stories, whose questions the embedded models know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from videollm.shapes.clips import write_video
from videollm.shapes.stories import Question, tell
from videollm.shapes.world import draw, times

FPS, SECONDS, SIZE = 8, 4, 96


def write_clip(path: Path, story: str) -> None:
    """4 s of H.264 that show a kind of story: `parade`, `motion`, `change`, `still`, ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, tell(f"miniature/{story}", story).world, num_frames=FPS * SECONDS, fps=FPS, size=SIZE)


def write_frames(folder: Path, story: str, *, fps: int) -> None:
    """4 s of a story as 00001.jpg, 00002.jpg, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, u in enumerate(times(fps * SECONDS), 1):
        Image.fromarray(draw(tell(f"miniature/{story}", story).world, u, SIZE)).save(folder / f"{number:05d}.jpg")


def ask(story: str, kind: str) -> Question:
    """A question of a story."""
    return next(q for q in tell(f"miniature/{story}", story).questions if q.kind == kind)


def options(question: Question, count: int, right: int) -> tuple[str, ...]:
    """So many of its choices, the answer at index `right`."""
    wrong = [choice for choice in question.choices if choice != question.answer][: count - 1]
    assert len(wrong) == count - 1, f"{question.text} has {len(question.choices)} choices"
    return (*wrong[:right], question.answer, *wrong[right:])


def write_json(path: Path, value: Any) -> None:
    """A JSON file in a folder that may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
