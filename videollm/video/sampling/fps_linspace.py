"""Frames at a rate, spread from the first to the last frame: the rules of Qwen-VL's loaders (github.com/QwenLM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from videollm.errors import UserError
from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class FpsLinspace(Sampling):
    """A number of frames by the video's length, within bounds, evenly spread."""

    choose_fps: float = 2.0
    """Frames per second."""
    min_num_frames: int = 4
    """Frames at least, where the video has so many."""
    max_num_frames: int = 768
    """Frames at most."""
    multiple: int = 1
    """The number of frames is cut to a multiple of it."""
    spread: Literal["linspace", "arange"] = "linspace"
    """From the first to the last frame, to the nearest; or every so many frames from the first, cut to whole numbers
    (transformers' processor of Qwen2.5-VL)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("choose_fps", "min_num_frames", "max_num_frames", "multiple")
        if self.spread not in ("linspace", "arange"):
            raise UserError(f"{self.policy}: spread is {self.spread!r}; expected 'linspace' or 'arange'.")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Choose the number of frames, and spread them; a video with fewer frames than the least is taken whole."""
        length = len(frames)
        # Rounded as officially: the bounds to multiples (the least up, the most down), then the number itself down.
        least = -(-self.min_num_frames // self.multiple) * self.multiple
        most = min(self.max_num_frames, length) // self.multiple * self.multiple
        wanted = length / timeline.fps * self.choose_fps
        number = int(min(max(wanted, least), most, length)) // self.multiple * self.multiple
        number = max(number, 1)
        if self.spread == "arange":
            at = np.arange(number) * (length / number)
            local = at.astype(np.float32).astype(np.int64).clip(max=length - 1)
        else:
            local = np.linspace(0, length - 1, number).round().astype(np.int64)
        return Sampled(tuple(frames[int(i)] for i in local))
