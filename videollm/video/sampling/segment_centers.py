"""VideoLLaMA2's rule (`frame_sample(mode="uniform")` in its mm_utils.py)."""

from __future__ import annotations

from dataclasses import dataclass

from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class SegmentCenters(Sampling):
    """Centres of n equal segments."""

    num_frames: int = 8
    """Frames; a short video repeats some."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("num_frames")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Take the centres of n segments of [0, N - 1]."""
        segment = (len(frames) - 1) / self.num_frames
        centers = ((segment * i + segment * (i + 1)) / 2 for i in range(self.num_frames))
        return Sampled(tuple(frames[round(center + 1e-6)] for center in centers))
