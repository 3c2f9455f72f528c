"""Frames of many windows of one video, gathered in one pass: each frame is scaled once, whoever wants it.

SHAPES  u distinct frames of a window, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from videollm.errors import VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import DecodeRequest, choose, lay_out
from videollm.video.decoding.scaler import Scaler
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Timeline


class Window:
    """A request under way, and the frames found for it so far.

    Args:
        number: of the request among all.
        request: what is asked.
        timeline: when the frames of the video are shown.
    Raises:
        VideoError: the video does not reach the range asked for.
    """

    def __init__(self, number: int, request: DecodeRequest, timeline: Timeline) -> None:
        self.number, self.request = number, request
        self.asked, sized = choose(request, timeline)
        self.size = sized.size
        self.distinct = sorted(set(self.asked.indices))
        self.ticks: dict[int, int | None] = {}
        """Tick of every frame that was put, by index; None where the container gives none."""
        self.settled: set[int] = set()
        """Indices of frames that are known to be healthy."""
        self._rows = {index: row for row, index in enumerate(self.distinct)}
        self._frames: NDArray[np.uint8] | None = None

    @property
    def complete(self) -> bool:
        """Whether all frames are there, and healthy."""
        return len(self.settled) == len(self.distinct)

    def row(self, index: int, scaler: Scaler, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the (h w c) place of a frame; all are allocated once the first frame tells the rotation."""
        if self._frames is None:
            self._frames = np.empty((len(self.distinct), *scaler.target(frame), 3), np.uint8)
        self.ticks[index] = frame.pts
        place: NDArray[np.uint8] = self._frames[self._rows[index]]
        return place

    def batch(self, seconds: Mapping[int, float], damage: str | None = None) -> FrameBatch | VideoError:
        """Lay out the frames whose times are given; arguments as for `lay_out`, whose error is returned."""
        frames = np.empty((len(self.distinct), 0, 0, 3), np.uint8) if self._frames is None else self._frames
        try:
            return lay_out(self.request, self.asked, frames, dict(seconds), damage)
        except VideoError as error:
            return error


class Gathering:
    """Windows that wait for frames; belongs to one thread.

    Args:
        windows: under way.
        height: of the coded pictures.
        width: of the coded pictures.
    """

    def __init__(self, windows: Iterable[Window], height: int, width: int) -> None:
        self._coded = height, width
        self._scalers: dict[FrameSize | None, Scaler] = {}
        self._waiting: dict[int, list[Window]] = {}
        for window in windows:
            for index in window.distinct:
                self._waiting.setdefault(index, []).append(window)

    @property
    def indices(self) -> list[int]:
        """Indices that some window waits for, ascending."""
        return sorted(self._waiting)

    def waiting(self, index: int) -> list[Window]:
        """Return the windows that wait for a frame."""
        return self._waiting.get(index, [])

    def put(self, index: int, frame: VideoFrame) -> None:
        """Scale a frame, once per size, into all windows that wait for it."""
        scaled: dict[FrameSize | None, NDArray[np.uint8]] = {}
        for window in self.waiting(index):
            scaler = self._scalers.setdefault(window.size, Scaler(window.size, *self._coded))
            row = window.row(index, scaler, frame)
            same = scaled.setdefault(window.size, row)
            if same is row or same.shape != row.shape:
                scaler.write(frame, row)
            else:
                row[...] = same

    def settle(self, indices: Iterable[int]) -> list[Window]:
        """Note that frames are healthy; returns the windows that are complete by it, which leave."""
        done: dict[int, Window] = {}
        for index in indices:
            for window in self.waiting(index):
                window.settled.add(index)
                if window.complete:
                    done[window.number] = window
        for window in done.values():
            self.remove(window)
        return list(done.values())

    def unsettle(self, indices: Iterable[int]) -> None:
        """Note that frames may be damaged after all."""
        for index in indices:
            for window in self.waiting(index):
                window.settled.discard(index)

    def remove(self, window: Window) -> None:
        """Let a window go, complete or not."""
        for index in window.distinct:
            rest = [other for other in self._waiting.get(index, ()) if other is not window]
            if rest:
                self._waiting[index] = rest
            else:
                self._waiting.pop(index, None)
