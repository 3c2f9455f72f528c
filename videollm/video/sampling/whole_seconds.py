"""MiniCPM-V 4.6's rule (`sample_frames` of its processor in transformers): a frame a second, fewer in long videos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline

STEP_SECONDS: Final = 0.1
"""Long videos are thinned from a grid of this step."""


@dataclass(frozen=True, kw_only=True)
class WholeSeconds(Sampling):
    """The frames at second 0, 1, 2, ... by the average rate; above `max_num_frames` seconds, so many evenly spread."""

    max_num_frames: int = 128
    """Frames at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("max_num_frames")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Count seconds from the first frame, and cut their frames to whole numbers."""
        length, fps, most = len(frames), timeline.fps, self.max_num_frames
        duration = length / fps
        if duration <= most:
            at = [i * fps for i in range(math.ceil(duration))]
        else:
            grid = [round(i * STEP_SECONDS, 1) * fps for i in range(int(duration / STEP_SECONDS))]
            at = [grid[i] for i in np.linspace(0, len(grid) - 1, min(most, len(grid)), dtype=int)]
        return Sampled(tuple(frames[min(int(i), length - 1)] for i in at))
