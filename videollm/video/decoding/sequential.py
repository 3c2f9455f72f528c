"""The plain backend: decode from the first frame and count. Slow on long videos, right on all FFmpeg decodes."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from videollm.errors import VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.backend import Job, collect
from videollm.video.decoding.container import decode_all, open_video, reason, set_threads
from videollm.video.decoding.index import UnplannableError, read_index
from videollm.video.preprocessing.scale import Scaler, quarter_turns, target_size
from videollm.video.sampling import Timeline, sample

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
        """Times of all frames, once the end was reached."""
        duration = self.seconds[-1] + 1 / self.fps
        return Timeline(
            num_frames=len(self.seconds), fps=self.fps, duration_seconds=duration, seconds=np.array(self.seconds)
        )


def decode_sequential(job: Job) -> FrameBatch:
    """Decode exactly the frames asked for, by counting frames from the start.

    Raises:
        VideoError: as `decode.decode`.
    """
    expected: NDArray[np.float64] | None = None
    try:
        with open_video(job.path) as (container, stream):
            exact_times = job.sampling.needs_times(job.clip.start, job.clip.end)
            index = read_index(container, stream, exact_times=exact_times)
            timeline = index.timeline(stream)
            expected = timeline.seconds if index.steady else None
        timed = True
    except UnplannableError:
        timeline, timed = count_frames(job), False
    asked = sample(job.sampling, timeline, job.clip.start, job.clip.end, cut_end=job.clip.cut_end)
    result = _decode(job, set(asked.indices), expected, timed=timed)
    if result.ended and result.seconds and len(result.seconds) < timeline.num_frames:  # the container had promised more
        asked = sample(job.sampling, result.timeline(), job.clip.start, job.clip.end, cut_end=job.clip.cut_end)
        result = _decode(job, set(asked.indices), timed=timed)
    distinct = [i for i in sorted(set(asked.indices)) if i in result.frames]
    shape = result.frames[distinct[0]].shape if distinct else (0, 0, 3)
    frames = np.empty((len(set(asked.indices)), *shape), np.uint8)
    for row, i in enumerate(sorted(set(asked.indices))):
        if i in result.frames:
            frames[row] = result.frames.pop(i)
    return collect(job, asked, frames, {i: result.seconds[i] for i in distinct}, result.damage)


def count_frames(job: Job) -> Timeline:
    """Times of all frames, by decoding them all.

    Raises:
        VideoError: `decode_error`: there is none, or the video is damaged and the job does not allow it.
    """
    counted = _decode(job, frozenset(), timed=False)
    if not counted.seconds:
        message = f"{job.clip.video}: no frame could be decoded ({counted.damage or 'the video stream is empty'})."
        raise VideoError("decode_error", message)
    if counted.damage and not job.allow_partial:
        raise VideoError(
            "decode_error",
            f"{job.clip.video}: {counted.damage}; allow partial results (--allow-partial) to keep the rest.",
        )
    return counted.timeline()


def _decode(job: Job, wanted: Set[int], expected: NDArray[np.float64] | None = None, *, timed: bool) -> _Pass:
    """Decode up to the last frame wanted; to the end where none is.

    A decoder drops what it cannot use without a word. Where the times to expect are known, a frame that comes too late
    for its count shows this, and counting ends there.
    """
    seconds: list[float] = []
    frames: dict[int, NDArray[np.uint8]] = {}
    scaler, last = Scaler(job.size), max(wanted, default=-1)
    first: int | None = None
    damage, broken, ended = None, False, False
    with open_video(job.path) as (container, stream):
        set_threads(stream, job.threads)
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        time_base = float(stream.time_base or 1 / fps)
        coded = (stream.codec_context.height, stream.codec_context.width)
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
                    height, width = coded if quarter_turns(frame) % 2 == 0 else coded[::-1]
                    frames[index] = np.empty((*target_size(job.size, height, width), 3), np.uint8)
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
    """Frames too far ahead of damage to refer to it: a frame may refer to some that are displayed later."""
    return {i: frame for i, frame in frames.items() if i < damaged - MAX_REORDER}


def _is_late(seconds: float, expected: NDArray[np.float64], index: int) -> bool:
    """Whether a frame's time is nearer to the frame expected after it than to its own."""
    following = expected[index + 1] if index + 1 < len(expected) else np.inf
    return bool(abs(seconds - following) < abs(seconds - expected[index]))
