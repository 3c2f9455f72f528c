"""Equal distances in time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from videollm.video.sampling.base import Sampled, Sampling, thin
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Every(Sampling):
    """The frame on display at equal distances in time, thinned evenly above `num_frames`."""

    by_time: ClassVar[bool] = True

    num_frames: int = 8
    """Frames at most."""
    every_seconds: float = 1.0
    """Distance between frames."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("num_frames", "every_seconds")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Step through the part by time, from its start."""
        last = timeline.seconds_of(frames[-1])
        count = max(1, math.floor((last - start) / self.every_seconds + 1e-6) + 1)
        shown = (timeline.shown_at(start + step * self.every_seconds) for step in thin(count, self.num_frames))
        return Sampled(tuple(min(max(frames[0], index), frames[-1]) for index in shown))
