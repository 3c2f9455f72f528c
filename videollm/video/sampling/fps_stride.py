"""MiniCPM-V 2.6's rule (`encode_video` in its README; at most 64 frames there)."""

from __future__ import annotations

from dataclasses import dataclass

from videollm.video.sampling.base import Sampled, Sampling, thin
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class FpsStride(Sampling):
    """Every round(fps * seconds)-th frame, thinned evenly where there are too many."""

    num_frames: int = 8
    """Frames at most."""
    every_seconds: float = 1.0
    """Distance between frames, by the average rate of the video."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("num_frames", "every_seconds")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Step through the part by a whole number of frames, from its first."""
        kept = frames[:: max(1, round(timeline.fps * self.every_seconds))]
        return Sampled(tuple(kept[i] for i in thin(len(kept), self.num_frames)))
