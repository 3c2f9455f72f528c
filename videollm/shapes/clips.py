"""Stories as H.264 files with their questions, to test or train with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from videollm.errors import UserError
from videollm.io import atomic_write
from videollm.shapes.stories import CAPTION_PROMPTS, STORIES, Story, tell
from videollm.shapes.world import World, draw, times

QUESTIONS: Final = "questions.jsonl"
"""Questions to answer, a row each."""
LESSONS: Final = "lessons.jsonl"
"""The same and captions, to train on."""
ENCODER: Final = {"crf": "20", "threads": "1", "x264-params": "mbtree=0"}
"""Options of libx264. Its macroblock tree (mbtree_propagate_list for AVX-512) takes 8 macroblocks at a time and does
not mask those past the end of a row: unless the width is a multiple of 128 pixels, what was left in memory decides, and
two encodings of one clip differ in a few bytes."""


@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """Which clips to draw."""

    num_clips: int = 100
    """Number of clips."""
    seed: int = 0
    """Another seed tells other stories."""
    seconds: float = 4.0
    """Length of a clip."""
    fps: int = 16
    """Frames per second."""
    size: int = 192
    """Pixels per side; even."""
    story: str | None = None
    """One kind of story: alone, still, parade, motion, change, come_and_go, pan, cut or grow; by default all."""

    def __post_init__(self) -> None:
        if self.story is not None and self.story not in STORIES:
            raise UserError(f"story got {self.story!r}; expected one of {', '.join(STORIES)}.")
        if self.num_clips < 1 or self.num_frames < 4 or self.size < 32 or self.size % 2:
            raise UserError(
                f"Got {self.num_clips} clips of {self.num_frames} frames at {self.size} pixels; expected at least 1 "
                "clip of 4 frames at an even size of at least 32 pixels."
            )

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return round(self.seconds * self.fps)


def write_clips(folder: Path, config: ClipsConfig, *, on_clip: Callable[[int], None] | None = None) -> int:
    """Write clips, their questions and their lessons into a folder; a clip that is there already is kept.

    Args:
        on_clip: is told the number of clips that are done.
    Returns:
        The number of questions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    questions: list[dict[str, Any]] = []
    lessons: list[dict[str, Any]] = []
    for i in range(config.num_clips):
        name = f"{config.seed:03d}-{i:05d}.mp4"
        story = story_of(config, i)
        write_video(folder / name, story.world, num_frames=config.num_frames, fps=config.fps, size=config.size)
        lessons.append({"video": name, "question": CAPTION_PROMPTS[0], "answer": story.caption, "kind": "caption"})
        for j, q in enumerate(story.questions):
            row = {"video": name, "question": q.text, "answer": q.answer, "kind": q.kind}
            lessons.append(row)
            truth = {
                "choices": q.choices,
                "temporal": q.temporal,
                "num_choices": len(q.choices),
                "num_unordered": q.unordered,
            }
            questions.append({"id": f"{Path(name).stem}-{j}", **row, **truth})
        if on_clip is not None:
            on_clip(i + 1)
    for file, rows in ((QUESTIONS, questions), (LESSONS, lessons)):
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return len(questions)


def story_of(config: ClipsConfig, i: int) -> Story:
    """Tell the story of a clip; training draws other ones."""
    return tell(f"clips/{config.seed}/{i}", config.story)


def write_video(path: Path, world: World, *, num_frames: int, fps: int, size: int) -> None:
    """Encode a world as H.264 in mp4 (yuv420p); the file appears when it is whole."""
    if path.exists():
        return
    import av

    with atomic_write(path) as scratch, av.open(str(scratch), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=ENCODER)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for u in times(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(world, u, size), format="rgb24")))
        container.mux(stream.encode())
