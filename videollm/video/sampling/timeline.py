"""Times at which the frames of a video are shown, and the frames in a range of seconds.

UNITS  seconds count from the first displayed frame; an index is a display index in the whole video.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from videollm.errors import Status, VideoError

END_TOLERANCE_SECONDS: Final = 0.1
"""An `end` this far past the last frame still means the end: files often carry audio that is a little longer."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Times of the frames of a video."""

    num_frames: int
    fps: float
    """Average frames per second."""
    duration_seconds: float
    """From the first displayed frame to the end of the last."""
    seconds: NDArray[np.float64] | None = None
    """(num_frames,) ascending presentation times, the first one 0; None means every frame lasts equally long."""

    def first_at(self, seconds: float) -> int:
        """Return the index of the first frame shown at or after a time (num_frames where there is none)."""
        if self.seconds is None:
            return min(max(0, math.ceil(seconds * self.fps - 1e-6)), self.num_frames)
        return int(np.searchsorted(self.seconds, seconds - 1e-6))

    def shown_at(self, seconds: float) -> int:
        """Return the index of the frame on display at a time."""
        if self.seconds is None:
            index = math.floor(seconds * self.fps + 1e-6)
        else:
            index = int(np.searchsorted(self.seconds, seconds + 1e-6)) - 1
        return min(max(0, index), self.num_frames - 1)

    def seconds_of(self, index: int) -> float:
        """Return the presentation time of a frame."""
        return index / self.fps if self.seconds is None else float(self.seconds[index])


def check_range(start: float | None, end: float | None) -> None:
    """Check that some video can have a range of seconds.

    Raises:
        VideoError: `bad_range`: not finite, negative, or start is not before end.
    """
    for name, value in (("start", start), ("end", end)):
        if value is not None and not math.isfinite(value):
            raise VideoError(Status.BAD_RANGE, f"{name} is {value}; expected a finite number of seconds.")
        if value is not None and value < 0:
            raise VideoError(Status.BAD_RANGE, f"{name} is {value:g} s; expected 0 or more.")
    if end is not None and (start or 0.0) >= end:
        raise VideoError(
            Status.BAD_RANGE, f"The range {start or 0.0:g} s to {end:g} s is empty; expected start before end."
        )


def frame_range(
    timeline: Timeline, start: float | None, end: float | None, *, cut_end: bool = False
) -> tuple[int, int]:
    """Return the indices [first, stop) of the frames shown in [start, end), at least one.

    A range shorter than a frame holds the frame on display at its start.

    Args:
        timeline: when frames are shown.
        start: seconds, inclusive; None is the first frame.
        end: seconds, exclusive; None is the end of the video.
        cut_end: take an end past that of the video for that of the video.
    Raises:
        VideoError: `bad_range`: the range is not finite, negative, empty or past the end of the video.
    """
    check_range(start, end)
    duration = timeline.duration_seconds
    if start is not None and start > 0 and start >= duration:
        raise VideoError(
            Status.BAD_RANGE, f"start is {start:g} s but the video ends at {duration:.3f} s; start earlier."
        )
    if end is not None and end > duration + END_TOLERANCE_SECONDS and not cut_end:
        raise VideoError(Status.BAD_RANGE, f"end is {end:g} s but the video ends at {duration:.3f} s; end earlier.")
    first = 0 if start is None else timeline.first_at(start)
    stop = timeline.num_frames if end is None else timeline.first_at(end)
    if first >= stop:
        first = timeline.shown_at(start or 0.0)
        stop = first + 1
    return first, stop
