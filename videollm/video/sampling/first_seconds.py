"""Frames spread over the beginning: "base" of CogVLM2-Video's demo (github.com/THUDM/CogVLM2, video_demo)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class FirstSeconds(Sampling):
    """Equally spaced frames of the first seconds, the first and the last of these included."""

    num_frames: int = 24
    """Frames; a short video repeats some."""
    max_seconds: float = 60.0
    """Seconds, counted in frames at the average rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("num_frames", "max_seconds")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Cut fractions of numpy's linspace off."""
        length = max(1, min(len(frames), int(self.max_seconds * timeline.fps)))
        at = np.linspace(0, length - 1, self.num_frames).astype(int)
        return Sampled(tuple(frames[i] for i in at.tolist()))
