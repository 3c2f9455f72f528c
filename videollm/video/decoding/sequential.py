"""The sequential decoder: decode from the first frame and count. Slow on long videos, right on all FFmpeg decodes."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videollm.errors import Status, VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest
from videollm.video.decoding.container import decode_all, open_video, reason, set_threads
from videollm.video.decoding.gathering import Gathering, Window
from videollm.video.decoding.index import UnplannableError, read_index
from videollm.video.sampling import Timeline

MAX_REORDER: Final = 16
"""Frames that a picture may be decoded ahead of its display, in any codec."""


class SequentialDecoder(Decoder):
    """Decodes from the start up to the last frame wanted."""

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode exactly the frames asked for, by counting frames from the start.

        Raises:
            VideoError: as `decode.decode`.
        """
        ((_, result),) = self.decode_windows({0: request})
        if isinstance(result, VideoError):
            raise result
        return result

    def decode_windows(self, requests: Mapping[int, DecodeRequest]) -> Iterator[tuple[int, FrameBatch | VideoError]]:
        """Decode many parts of one file in one pass, each as `decode` does; errors as there."""
        if not requests:
            return
        request = next(iter(requests.values()))
        expected: NDArray[np.float64] | None = None
        try:
            with open_video(request.path) as (container, stream):
                index = read_index(container, stream, exact_times=any(r.needs_times for r in requests.values()))
                timeline = index.timeline(stream)
                expected = timeline.seconds if index.steady else None
            timed = True
        except UnplannableError:
            timeline, timed = count_frames(request), False
        counted = _Count(request.path, expected, timed=timed)
        left = yield from _decode(counted, requests, timeline)
        if counted.ended and counted.seconds and len(counted.seconds) < timeline.num_frames:
            # the container had promised more frames than there are: ask again of those that are
            timeline, counted = counted.timeline(), _Count(request.path, timed=timed)
            left = yield from _decode(counted, {w.number: w.request for w in left}, timeline)
        for window in left:
            yield window.number, _lay_out(window, counted)


def _decode(
    counted: _Count, requests: Mapping[int, DecodeRequest], timeline: Timeline
) -> Generator[tuple[int, FrameBatch | VideoError], None, list[Window]]:
    """Choose frames and decode them; returns the windows whose last frame was not met."""
    left: dict[int, Window] = {}
    for number, request in requests.items():
        try:
            left[number] = Window(number, request, timeline)
        except VideoError as error:
            yield number, error
    if left:
        for window in counted.windows(tuple(left.values())):
            yield window.number, _lay_out(left.pop(window.number), counted)
    return list(left.values())


def _lay_out(window: Window, counted: _Count) -> FrameBatch | VideoError:
    return window.batch({i: counted.seconds[i] for i in sorted(window.settled)}, counted.damage)


def count_frames(request: DecodeRequest) -> Timeline:
    """Find the times of all frames, by decoding them all.

    Raises:
        VideoError: `decode_error`: there is no frame, or the video is damaged and the request does not allow this.
    """
    video = request.clip.video
    counted = _Count(request.path, timed=False)
    counted.all()
    if not counted.seconds:
        message = f"{video}: no frame could be decoded ({counted.damage or 'the video stream is empty'})."
        raise VideoError(Status.DECODE_ERROR, message)
    if counted.damage and not request.allow_partial:
        message = f"{video}: {counted.damage}; allow partial results (--allow-partial) to keep the rest."
        raise VideoError(Status.DECODE_ERROR, message)
    return counted.timeline()


class _Count:
    """One decode from the start, which counts frames.

    A decoder drops what it cannot use without a word. Where the times to expect are known, a frame that comes too late
    for its count shows this, and counting ends there. After a damaged frame, none is kept up to the next keyframe, and
    those before it that may refer to it are given up.

    Args:
        path: a local file.
        expected: seconds of every frame, where they are known for sure.
        timed: whether the times that the container gives are true ones.
    """

    def __init__(self, path: str, expected: NDArray[np.float64] | None = None, *, timed: bool) -> None:
        self._path, self._expected, self._timed = path, expected, timed
        self.seconds = array("d")
        """Time of every frame decoded, from the first."""
        self.ended = False
        """Whether the end of the video was reached, without damage."""
        self.damage: str | None = None
        self._fps = 25.0

    def timeline(self) -> Timeline:
        """Return the times of all frames, once the end was reached."""
        duration = self.seconds[-1] + 1 / self._fps
        return Timeline(
            num_frames=len(self.seconds), fps=self._fps, duration_seconds=duration, seconds=np.array(self.seconds)
        )

    def windows(self, windows: Iterable[Window]) -> Iterator[Window]:
        """Decode up to the last frame of the last window, and yield each once its last frame was met."""
        ends: dict[int, list[Window]] = {}
        for window in windows:
            ends.setdefault(window.distinct[-1], []).append(window)
        with open_video(self._path) as (container, stream):
            context = stream.codec_context
            gathering = Gathering((w for end in ends.values() for w in end), context.height, context.width)
            for index, frame, healthy in self._frames(container, stream, gathering):
                if healthy:
                    gathering.put(index, frame)
                    gathering.settle([index])
                for window in ends.pop(index, ()):
                    gathering.remove(window)
                    yield window
                if not ends:
                    return

    def all(self) -> None:
        """Decode to the end, for the times alone."""
        with open_video(self._path) as (container, stream):
            for _ in self._frames(container, stream, None):
                pass

    def _frames(
        self, container: InputContainer, stream: VideoStream, gathering: Gathering | None
    ) -> Iterator[tuple[int, VideoFrame, bool]]:
        """Yield index, frame and whether it is healthy; tell the gathering what has become doubtful."""
        set_threads(stream, 1)  # several lose frames of a damaged file without a word, and not the same every time
        self._fps = float(stream.average_rate or stream.guessed_rate or 25)
        time_base = float(stream.time_base or 1 / self._fps)
        first: int | None = None
        broken = False
        try:
            for index, frame in enumerate(decode_all(container, stream)):
                first = frame.pts if first is None else first
                if not self._timed or frame.pts is None or first is None:  # the container's times are made up, if any
                    seconds = index / self._fps
                else:
                    seconds = (frame.pts - first) * time_base
                if (
                    self._expected is not None
                    and index < len(self._expected)
                    and _is_late(seconds, self._expected, index)
                ):
                    self._break(index, f"a frame is missing before frame {index}", gathering)
                    return
                self.seconds.append(seconds)
                if frame.is_corrupt:
                    broken = True
                    self._break(index, f"frame {index} is damaged", gathering)
                elif frame.key_frame:
                    broken = False
                yield index, frame, not broken
            self.ended = self.damage is None
        except av.FFmpegError as error:
            count = len(self.seconds)
            self._break(count, f"decoding stopped after {count} frames ({reason(error)})", gathering)

    def _break(self, damaged: int, damage: str, gathering: Gathering | None) -> None:
        """Note damage; a frame may refer to some that are displayed later, so those just before it are given up."""
        self.damage = damage
        if gathering is not None:
            gathering.unsettle(range(damaged - MAX_REORDER, damaged))


def _is_late(seconds: float, expected: NDArray[np.float64], index: int) -> bool:
    """Tell whether a frame's time is nearer to that expected of the next frame than to its own."""
    following = expected[index + 1] if index + 1 < len(expected) else np.inf
    return bool(abs(seconds - following) < abs(seconds - expected[index]))
