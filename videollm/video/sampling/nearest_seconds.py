"""The frame nearest to each second: "chat" of CogVLM2-Video's demo (github.com/THUDM/CogVLM2, video_demo)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class NearestSeconds(Sampling):
    """The frames nearest to second 0, 1, 2, ..., up to a number of them: the beginning of a longer video."""

    max_num_frames: int = 24
    """Frames at most."""

    by_time = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("max_num_frames")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Take the frame nearest to each second, the earlier of two, seconds counted from the first frame."""
        first = timeline.seconds_of(frames[0])
        # In float32, as officially: at 12.5 fps second 1 is frame 13, and in float64 it would be frame 12.
        times = np.array([timeline.seconds_of(i) - first for i in frames], np.float32)
        number = min(self.max_num_frames, round(float(times[-1])) + 1)
        nearest = [int(np.abs(times - np.float32(second)).argmin()) for second in range(number)]
        return Sampled(tuple(frames[i] for i in nearest))
