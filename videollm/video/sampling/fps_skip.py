"""Frames at a rate, and of long videos none of the first and last second: SmolVLM2's rule (`sample_frames`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videollm.errors import UserError
from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class FpsSkip(Sampling):
    """A number of frames by the video's length, at most so many, evenly spread from the first to the last."""

    choose_fps: float = 1.0
    """Frames per second."""
    max_num_frames: int = 64
    """Frames at most."""
    skip_seconds: float = 1.0
    """Left out at both ends of a video that is longer, without them, than `max_num_frames` times `choose_fps`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("choose_fps", "max_num_frames")
        if not self.skip_seconds >= 0:
            raise UserError(f"{self.policy}: skip_seconds is {self.skip_seconds!r}; expected a number of at least 0.")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Choose the number of frames, and spread them; none is chosen twice."""
        last, seconds = len(frames) - 1, len(frames) / timeline.fps
        number = max(1, min(round(self.choose_fps * seconds), self.max_num_frames))
        begin, end = 0, last
        # Officially the product of frames and rate, not their quotient, is what a video must be longer than.
        if seconds - 2 * self.skip_seconds > self.max_num_frames * self.choose_fps and self.skip_seconds:
            begin = int(self.skip_seconds * timeline.fps)
            end = min(last, int(len(frames) - self.skip_seconds * timeline.fps))
            if begin >= end:
                begin, end = 0, last
        return Sampled(tuple(frames[int(i)] for i in np.unique(np.linspace(begin, end, number, dtype=int))))
