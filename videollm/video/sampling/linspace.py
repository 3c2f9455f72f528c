"""Equal distances from the first frame to the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Linspace(Sampling):
    """Equally spaced frames from the first one on."""

    num_frames: int = 8
    """Frames."""
    last: bool = True
    """Whether the last frame is taken. If not, the frames are spread over those before it, and fractions are cut off
    (VILA1.5)."""
    cut: bool = False
    """Whether fractions are cut off instead of rounded in any case (LLaVA-Video)."""
    repeat: bool = True
    """Whether a video with fewer frames repeats some; if not, all of them are taken, once each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("num_frames")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Round numpy's linspace, or cut it off."""
        length = len(frames)
        if not self.repeat and length <= self.num_frames:
            return Sampled(tuple(frames))
        at = np.linspace(0, length - 1 if self.last else max(length - 2, 0), self.num_frames)
        whole = (at if self.cut or not self.last else at.round()).astype(int)
        return Sampled(tuple(frames[i] for i in whole.tolist()))
