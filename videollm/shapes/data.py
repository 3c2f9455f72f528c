"""Training data of stories, drawn as training goes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videollm.errors import UserError
from videollm.shapes.pretrain import worn
from videollm.shapes.stories import CAPTION_PROMPTS, STORIES, Question, drills, tell
from videollm.shapes.world import draw_clip, times
from videollm.training.data import Example, Lesson
from videollm.types import FrameBatch


@dataclass(frozen=True, kw_only=True)
class ShapesData:
    """Stories drawn on the fly, never the same twice."""

    seed: int
    batch_size: int
    """Clips of 8 frames in a step; longer clips come fewer at a time."""
    num_frames: Sequence[int]
    """Frames of a clip, one of these at random for each step."""
    size: int
    """Pixels per side."""
    stories: Sequence[str] = ()
    """Kinds of story; all kinds if empty."""
    multiple_choice: float = 0.1
    """Share of questions that are asked with their options."""
    drills: float = 0.0
    """Share of clips that bring a drill too."""

    def __post_init__(self) -> None:
        if unknown := set(self.stories) - set(STORIES):
            raise UserError(f"stories got {', '.join(sorted(unknown))}; expected some of {', '.join(STORIES)}.")

    def __call__(self, step: int) -> list[Example]:
        """Draw the batch of a step."""
        rng, noise = random.Random(f"{self.seed}/{step}"), np.random.default_rng((self.seed, step))
        num_frames = rng.choice(self.num_frames)
        batch_size = max(1, min(2 * self.batch_size, self.batch_size * 8 // num_frames))
        return [self._example(rng, noise, num_frames) for _ in range(batch_size)]

    def _example(self, rng: random.Random, noise: np.random.Generator, num_frames: int) -> Example:
        story = tell(rng.getrandbits(48), rng.choice(self.stories or tuple(STORIES)))
        lessons = [_lesson(q, rng, self.multiple_choice) for q in story.questions]
        lessons.append(Lesson(question=rng.choice(CAPTION_PROMPTS), answer=story.caption, kind="caption"))
        if rng.random() < self.drills:
            question, answer = rng.choice(drills(story, rng))
            lessons.append(Lesson(question=question, answer=answer, kind="drill"))
        duration = 2 * 300 ** rng.random()
        at = times(num_frames)
        frames = FrameBatch(
            frames=worn(draw_clip(story.world, at, self.size), noise),
            indices=tuple(range(num_frames)),
            seconds=tuple(u * duration for u in at),
        )
        return Example(frames=frames, lessons=tuple(lessons))


def _lesson(question: Question, rng: random.Random, multiple_choice: float) -> Lesson:
    if rng.random() >= multiple_choice:
        return Lesson(question=question.text, answer=question.answer, kind=question.kind)
    wrong = [c for c in question.choices if c != question.answer]
    options = [question.answer, *rng.sample(wrong, min(3, len(wrong)))]
    rng.shuffle(options)
    letter = "ABCD"[options.index(question.answer)]
    return Lesson(question=question.text, answer=letter, kind="multiple choice", options=tuple(options))
