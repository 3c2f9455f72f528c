"""Which frames to look at: pure functions from a timeline (and a range of seconds) to display indices.

UNITS  seconds count from the first displayed frame; an index is a display index in the whole video.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from videollm.errors import VideoError

Policy = Literal["segment_centers", "linspace", "every", "fps_stride", "fps_pack"]

END_TOLERANCE_SECONDS: Final = 0.1
"""An `end` this far past the last frame still means the end: files often carry audio that is a little longer."""
TIME_SCALE_SECONDS: Final = 0.1
"""Step of MiniCPM-V's time axis."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How frames are chosen. Only numbers and words, so it can be written as JSON."""

    policy: Policy = "segment_centers"
    """VideoLLaMA2's `segment_centers`, `linspace`, `every` n s, MiniCPM-V's `fps_stride` (2.6), `fps_pack` (4.5)."""
    num_frames: int = 8
    """Frames of `segment_centers` and `linspace` (short videos repeat some); the most of `every` and `fps_stride`."""
    every_seconds: float = 1.0
    """Distance between frames of `every` and `fps_stride`."""
    choose_fps: float = 3.0
    """`fps_pack`: frames a second, before packing sets in."""
    max_num_frames: int = 180
    """`fps_pack`: frames (or packs of frames) at most."""
    max_packing: int = 3
    """`fps_pack`: frames a pack at most."""
    force_packing: int | None = None
    """`fps_pack`: frames a pack, whatever the length, up to max_packing."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"Unknown sampling policy {self.policy!r}; expected one of {', '.join(POLICIES)}.")
        for name in ("num_frames", "every_seconds", "choose_fps", "max_num_frames", "max_packing"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"Sampling.{name} is {value}; expected a number above 0.")
        if self.force_packing is not None and self.force_packing < 1:
            raise ValueError(f"Sampling.force_packing is {self.force_packing}; expected at least 1, or None.")

    def needs_times(self, start: float | None, end: float | None) -> bool:
        """Whether presentation times, and not only the number of frames, decide which frames are taken."""
        return self.policy == "every" or start is not None or end is not None


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When the frames of a video are shown."""

    num_frames: int
    fps: float
    """Average frames a second."""
    duration_seconds: float
    """From the first displayed frame to the end of the last."""
    seconds: NDArray[np.float64] | None = None
    """(num_frames,) ascending presentation times, the first one 0; None means every frame lasts equally long."""

    def first_at(self, seconds: float) -> int:
        """Index of the first frame shown at or after a time (num_frames where there is none)."""
        if self.seconds is None:
            return min(max(0, math.ceil(seconds * self.fps - 1e-6)), self.num_frames)
        return int(np.searchsorted(self.seconds, seconds - 1e-6))

    def shown_at(self, seconds: float) -> int:
        """Index of the frame on display at a time."""
        if self.seconds is None:
            index = math.floor(seconds * self.fps + 1e-6)
        else:
            index = int(np.searchsorted(self.seconds, seconds + 1e-6)) - 1
        return min(max(0, index), self.num_frames - 1)

    def seconds_of(self, index: int) -> float:
        """Presentation time of a frame."""
        return index / self.fps if self.seconds is None else float(self.seconds[index])


@dataclass(frozen=True)
class Sampled:
    """Chosen frames."""

    indices: tuple[int, ...]
    """Display indices, ascending; a short video repeats some."""
    snapped_seconds: tuple[float, ...] = ()
    """`fps_pack`: times from the start of the range, on the grid of 0.1 s."""
    temporal_ids: tuple[int, ...] = ()
    """`fps_pack`: those times in units of 0.1 s, with the official truncation."""
    packing: int = 1
    """`fps_pack`: consecutive frames that share one group of visual tokens."""


def sample(
    sampling: Sampling,
    timeline: Timeline,
    start: float | None = None,
    end: float | None = None,
    *,
    cut_end: bool = False,
) -> Sampled:
    """Choose frames of a video, or of its part [start, end).

    A range shorter than a frame holds the frame on display at its start.

    Args:
        sampling: the policy and its numbers.
        timeline: when frames are shown.
        start: seconds, inclusive; None is the first frame.
        end: seconds, exclusive; None is the end of the video.
        cut_end: take an end past that of the video for that of the video.
    Raises:
        VideoError: `bad_range`: the range is not finite, negative, empty or past the end of the video.
    """
    first, stop = frame_range(timeline, start, end, cut_end=cut_end)
    return POLICIES[sampling.policy](sampling, timeline, first, stop, start or 0.0)


def check_range(start: float | None, end: float | None) -> None:
    """Refuse ranges that no video has.

    Raises:
        VideoError: `bad_range`: not finite, negative, or start is not before end.
    """
    for name, value in (("start", start), ("end", end)):
        if value is not None and not math.isfinite(value):
            raise VideoError("bad_range", f"{name} is {value}; expected a finite number of seconds.")
        if value is not None and value < 0:
            raise VideoError("bad_range", f"{name} is {value:g} s; expected 0 or more.")
    if end is not None and (start or 0.0) >= end:
        raise VideoError("bad_range", f"The range {start or 0.0:g} s to {end:g} s is empty; expected start before end.")


def frame_range(
    timeline: Timeline, start: float | None, end: float | None, *, cut_end: bool = False
) -> tuple[int, int]:
    """Indices [first, stop) of the frames shown in [start, end), at least one.

    Raises:
        VideoError: `bad_range`, as `sample`.
    """
    check_range(start, end)
    duration = timeline.duration_seconds
    if start is not None and start > 0 and start >= duration:
        raise VideoError("bad_range", f"start is {start:g} s but the video ends at {duration:.3f} s; start earlier.")
    if end is not None and end > duration + END_TOLERANCE_SECONDS and not cut_end:
        raise VideoError("bad_range", f"end is {end:g} s but the video ends at {duration:.3f} s; end earlier.")
    first = 0 if start is None else timeline.first_at(start)
    stop = timeline.num_frames if end is None else timeline.first_at(end)
    if first >= stop:
        first = timeline.shown_at(start or 0.0)
        stop = first + 1
    return first, stop


def _segment_centers(sampling: Sampling, timeline: Timeline, first: int, stop: int, start: float) -> Sampled:
    """VideoLLaMA2's `frame_sample(mode="uniform")` (mm_utils.py): centres of n segments of [0, N - 1]."""
    n = sampling.num_frames
    segment = (stop - first - 1) / n
    centers = ((segment * i + segment * (i + 1)) / 2 for i in range(n))
    return Sampled(tuple(first + round(center + 1e-6) for center in centers))


def _linspace(sampling: Sampling, timeline: Timeline, first: int, stop: int, start: float) -> Sampled:
    """Equally spaced, first and last frame included."""
    indices = np.linspace(first, stop - 1, sampling.num_frames).round().astype(int)
    return Sampled(tuple(indices.tolist()))


def _every(sampling: Sampling, timeline: Timeline, first: int, stop: int, start: float) -> Sampled:
    """The frame on display every n seconds of the range; thinned evenly above num_frames."""
    last = timeline.seconds_of(stop - 1)
    count = max(1, math.floor((last - start) / sampling.every_seconds + 1e-6) + 1)
    steps = _thin(count, sampling.num_frames)
    shown = (timeline.shown_at(start + step * sampling.every_seconds) for step in steps)
    return Sampled(tuple(min(max(first, index), stop - 1) for index in shown))


def _fps_stride(sampling: Sampling, timeline: Timeline, first: int, stop: int, start: float) -> Sampled:
    """MiniCPM-V 2.6: every round(fps * n)-th frame; thinned evenly above num_frames (64 there)."""
    frames = range(first, stop, max(1, round(timeline.fps * sampling.every_seconds)))
    return Sampled(tuple(frames[i] for i in _thin(len(frames), sampling.num_frames)))


def _fps_pack(sampling: Sampling, timeline: Timeline, first: int, stop: int, start: float) -> Sampled:
    """MiniCPM-V 4.5 (`encode_video` in its README): choose_fps, then packs of up to max_packing frames."""
    n, fps, most = stop - first, timeline.fps, sampling.max_num_frames
    duration = n / fps
    if sampling.choose_fps * int(duration) <= most:
        packing = 1
        count = round(min(sampling.choose_fps, round(fps)) * min(most, duration))
    else:
        packing = math.ceil(duration * sampling.choose_fps / most)
        count = round(duration * sampling.choose_fps)
        if packing > sampling.max_packing:
            packing, count = sampling.max_packing, most * sampling.max_packing
    if sampling.force_packing is not None:
        packing = min(sampling.force_packing, sampling.max_packing)
    local = _spread(n, max(1, count))
    snapped = snap_seconds(np.asarray(local) / fps, duration)
    ids = (snapped / TIME_SCALE_SECONDS).astype(np.int32)
    return Sampled(tuple(first + i for i in local), tuple(snapped.tolist()), tuple(ids.tolist()), packing)


def snap_seconds(seconds: NDArray[np.float64], duration_seconds: float) -> NDArray[np.float64]:
    """Nearest value of arange(0, duration, 0.1) for each time, as MiniCPM-V 4.5 does before it takes temporal ids."""
    scale = np.arange(0, duration_seconds, TIME_SCALE_SECONDS)
    right = np.searchsorted(scale, seconds).clip(1, max(1, len(scale) - 1))
    right = np.minimum(right, len(scale) - 1)
    left = np.maximum(right - 1, 0)
    nearest: NDArray[np.float64] = np.where(scale[right] - seconds < seconds - scale[left], scale[right], scale[left])
    return nearest


def _spread(length: int, count: int) -> list[int]:
    """MiniCPM-V's `uniform_sample` of range(length)."""
    gap = length / count
    return [int(i * gap + gap / 2) for i in range(count)]


def _thin(length: int, most: int) -> list[int]:
    return list(range(length)) if length <= most else _spread(length, most)


POLICIES: Final[dict[str, Callable[[Sampling, Timeline, int, int, float], Sampled]]] = {
    "segment_centers": _segment_centers,
    "linspace": _linspace,
    "every": _every,
    "fps_stride": _fps_stride,
    "fps_pack": _fps_pack,
}
