"""The rule of FFmpeg's filter `fps` with `round=down`, which VideoLLaMA3's own processor decodes with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class FpsFilter(Sampling):
    """Of each whole interval the last frame, which the model is told to be at the interval's beginning."""

    choose_fps: float = 1.0
    """Intervals per second."""
    max_num_frames: int = 180
    """Frames at most, spread evenly over all of them where there are more."""

    by_time = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("choose_fps", "max_num_frames")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Take the last frame before each interval's end; of a part shorter than one interval, its last."""
        stop = timeline.duration_seconds
        if frames.stop < timeline.num_frames:
            stop = timeline.seconds_of(frames.stop)
        number = max(1, int((stop - start) * self.choose_fps + 1e-6))
        ends = start + (np.arange(number) + 1) / self.choose_fps
        last = np.array([timeline.first_at(float(end)) - 1 for end in ends]).clip(frames[0], frames[-1])
        told = start + np.arange(number) / self.choose_fps
        if number > self.max_num_frames:
            kept = np.linspace(0, number - 1, self.max_num_frames, dtype=int)
            last, told = last[kept], told[kept]
        return Sampled(tuple(last.tolist()), tuple(told.tolist()))
