"""The sequential decoder: decode from the first frame and count. Slow on long videos, right on all FFmpeg decodes."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from videollm.errors import Status, VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest, choose, lay_out
from videollm.video.decoding.container import decode_all, open_video, reason, set_threads
from videollm.video.decoding.index import UnplannableError, read_index
from videollm.video.decoding.scaler import Scaler
from videollm.video.sampling import Timeline

MAX_REORDER: Final = 16
"""Frames that a picture may be decoded ahead of its display, in any codec."""


@dataclass(frozen=True)
class _Pass:
    """One decode from the start."""

    seconds: list[float]
    """Time of every frame decoded, from the first."""
    fps: float
    frames: dict[int, NDArray[np.uint8]]
    """Healthy frames wanted."""
    ended: bool
    """Whether the end of the video was reached, without damage."""
    damage: str | None

    def timeline(self) -> Timeline:
        """Return the times of all frames, once the end was reached."""
        duration = self.seconds[-1] + 1 / self.fps
        return Timeline(
            num_frames=len(self.seconds), fps=self.fps, duration_seconds=duration, seconds=np.array(self.seconds)
        )


class SequentialDecoder(Decoder):
    """Decodes from the start up to the last frame wanted."""

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode exactly the frames asked for, by counting frames from the start.

        Raises:
            VideoError: as `decode.decode`.
        """
        expected: NDArray[np.float64] | None = None
        try:
            with open_video(request.path) as (container, stream):
                index = read_index(container, stream, exact_times=request.needs_times)
                timeline = index.timeline(stream)
                expected = timeline.seconds if index.steady else None
            timed = True
        except UnplannableError:
            timeline, timed = count_frames(request), False
        asked, sized = choose(request, timeline)
        found = _decode(sized, set(asked.indices), expected, timed=timed)
        if found.ended and found.seconds and len(found.seconds) < timeline.num_frames:
            # the container had promised more frames than there are: ask again of those that are
            asked, sized = choose(request, found.timeline())
            found = _decode(sized, set(asked.indices), timed=timed)
        wanted = sorted(set(asked.indices))
        healthy = [i for i in wanted if i in found.frames]
        shape = found.frames[healthy[0]].shape if healthy else (0, 0, 3)
        frames = np.empty((len(wanted), *shape), np.uint8)
        for row, i in enumerate(wanted):
            if i in found.frames:
                frames[row] = found.frames.pop(i)
        return lay_out(request, asked, frames, {i: found.seconds[i] for i in healthy}, found.damage)


def count_frames(request: DecodeRequest) -> Timeline:
    """Find the times of all frames, by decoding them all.

    Raises:
        VideoError: `decode_error`: there is no frame, or the video is damaged and the request does not allow this.
    """
    video = request.clip.video
    counted = _decode(request, frozenset(), timed=False)
    if not counted.seconds:
        message = f"{video}: no frame could be decoded ({counted.damage or 'the video stream is empty'})."
        raise VideoError(Status.DECODE_ERROR, message)
    if counted.damage and not request.allow_partial:
        message = f"{video}: {counted.damage}; allow partial results (--allow-partial) to keep the rest."
        raise VideoError(Status.DECODE_ERROR, message)
    return counted.timeline()


def _decode(
    request: DecodeRequest, wanted: Set[int], expected: NDArray[np.float64] | None = None, *, timed: bool
) -> _Pass:
    """Decode up to the last frame wanted; to the end where no frame is wanted.

    A decoder drops what it cannot use without a word. Where the times to expect are known, a frame that comes too late
    for its count shows this, and counting ends there. After a damaged frame, none is kept up to the next keyframe, and
    those before it that may refer to it are given up.

    Args:
        request: the file and how to decode it.
        wanted: display indices.
        expected: seconds of every frame, where they are known for sure.
        timed: whether the times that the container gives are true ones.
    """
    seconds: list[float] = []
    frames: dict[int, NDArray[np.uint8]] = {}
    last = max(wanted, default=-1)
    first: int | None = None
    damage, broken, ended = None, False, False
    with open_video(request.path) as (container, stream):
        set_threads(stream, 1)  # several lose frames of a damaged file without a word, and not the same every time
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        time_base = float(stream.time_base or 1 / fps)
        scaler = Scaler(request.size, stream.codec_context.height, stream.codec_context.width)
        try:
            for index, frame in enumerate(decode_all(container, stream)):
                first = frame.pts if first is None else first
                if not timed or frame.pts is None or first is None:  # the container's times are made up, if any
                    seconds.append(index / fps)
                else:
                    seconds.append((frame.pts - first) * time_base)
                if expected is not None and index < len(expected) and _is_late(seconds[-1], expected, index):
                    frames, damage = _before(frames, index), f"a frame is missing before frame {index}"
                    seconds.pop()
                    break
                if frame.is_corrupt:
                    broken, damage = True, f"frame {index} is damaged"
                    frames = _before(frames, index)
                elif frame.key_frame:
                    broken = False
                if index in wanted and not broken:
                    frames[index] = np.empty((*scaler.target(frame), 3), np.uint8)
                    scaler.write(frame, frames[index])
                if index == last:
                    break
            else:
                ended = damage is None
        except av.FFmpegError as error:
            frames = _before(frames, len(seconds))
            damage = f"decoding stopped after {len(seconds)} frames ({reason(error)})"
    return _Pass(seconds, fps, frames, ended, damage)


def _before(frames: dict[int, NDArray[np.uint8]], damaged: int) -> dict[int, NDArray[np.uint8]]:
    """Keep the frames too far ahead of damage to refer to it: a frame may refer to some that are displayed later."""
    return {i: frame for i, frame in frames.items() if i < damaged - MAX_REORDER}


def _is_late(seconds: float, expected: NDArray[np.float64], index: int) -> bool:
    """Tell whether a frame's time is nearer to that expected of the next frame than to its own."""
    following = expected[index + 1] if index + 1 < len(expected) else np.inf
    return bool(abs(seconds - following) < abs(seconds - expected[index]))
