"""Equal distances from the first frame to the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Linspace(Sampling):
    """Equally spaced frames, the first and the last included."""

    num_frames: int = 8
    """Frames; a short video repeats some."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("num_frames")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Round numpy's linspace."""
        indices = np.linspace(frames[0], frames[-1], self.num_frames).round().astype(int)
        return Sampled(tuple(indices.tolist()))
