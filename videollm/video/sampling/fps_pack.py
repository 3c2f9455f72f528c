"""MiniCPM-V 4.5's rule (`encode_video` in its README): frames at a rate, in packs where there are too many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from videollm.errors import UserError
from videollm.video.sampling.base import Sampled, Sampling, spread
from videollm.video.sampling.timeline import Timeline

TIME_SCALE_SECONDS: Final = 0.1
"""Step of MiniCPM-V's time axis."""


@dataclass(frozen=True, kw_only=True)
class FpsPack(Sampling):
    """Frames at a rate; above `max_num_frames`, packs of frames that share one set of visual tokens."""

    choose_fps: float = 3.0
    """Frames per second, before packing sets in."""
    max_num_frames: int = 180
    """Frames (or packs of frames) at most."""
    max_packing: int = 3
    """Frames per pack at most."""
    force_packing: int | None = None
    """Frames per pack, whatever the length, up to max_packing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("choose_fps", "max_num_frames", "max_packing")
        if self.force_packing is not None and self.force_packing < 1:
            raise UserError(f"{self.policy}: force_packing is {self.force_packing}; expected at least 1, or None.")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Choose the number of frames and the packing, spread the frames, and snap their times to a grid."""
        # Whole seconds decide whether packing sets in, as officially; the number of frames takes the exact duration.
        length, fps, most = len(frames), timeline.fps, self.max_num_frames
        duration = length / fps
        if self.choose_fps * int(duration) <= most:
            packing = 1
            count = round(min(self.choose_fps, round(fps)) * min(most, duration))
        else:
            # Too long for one set of tokens per frame: packs grow to keep the rate, up to max_packing frames; beyond
            # that the rate falls.
            packing = math.ceil(duration * self.choose_fps / most)
            count = round(duration * self.choose_fps)
            if packing > self.max_packing:
                packing, count = self.max_packing, most * self.max_packing
        if self.force_packing is not None:
            packing = min(self.force_packing, self.max_packing)
        # Times on the model's axis are multiples of 0.1 s, not the true presentation times.
        local = spread(length, max(1, count))
        snapped = snap_seconds(np.asarray(local) / fps, duration)
        ids = (snapped / TIME_SCALE_SECONDS).astype(np.int32)  # cuts 0.3 / 0.1 to 2, as the official code does
        return Sampled(tuple(frames[i] for i in local), tuple(snapped.tolist()), tuple(ids.tolist()), packing)


def snap_seconds(seconds: NDArray[np.float64], duration_seconds: float) -> NDArray[np.float64]:
    """Return the nearest value of arange(0, duration, 0.1) for each time."""
    # Of the two grid values around each time the nearer one wins, at equal distance the smaller; clips shorter than
    # one step have a single grid value, 0.
    scale = np.arange(0, duration_seconds, TIME_SCALE_SECONDS)
    right = np.searchsorted(scale, seconds).clip(1, max(1, len(scale) - 1))
    right = np.minimum(right, len(scale) - 1)
    left = np.maximum(right - 1, 0)
    nearest: NDArray[np.float64] = np.where(scale[right] - seconds < seconds - scale[left], scale[right], scale[left])
    return nearest
