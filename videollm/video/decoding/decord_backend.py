"""decord as a selectable backend. It is not frame exact: see `tests/video/test_exact.py` for where it differs."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from videollm.errors import VideoError
from videollm.io import check_file
from videollm.types import FrameBatch
from videollm.video.decoding.backend import Job, collect
from videollm.video.preprocessing.scale import resize_frame, target_size
from videollm.video.sampling import Timeline, sample

PREFIX: Final = re.compile(r"^(\[\d\d:\d\d:\d\d\] \S+:\d+: )+")
"""Clock and line of code with which decord's messages begin: the same failure must read the same in two runs."""


def decode_decord(job: Job) -> FrameBatch:
    """Decode with decord, as it numbers and times the frames itself.

    Raises:
        VideoError: `missing_dependency`, or as `decode.decode`.
    """
    try:
        import decord
    except ImportError:
        raise VideoError("missing_dependency", "decord is not installed; install it, or use another decoder.") from None
    check_file(job.path)
    try:
        return _decode(decord, job)
    except VideoError:
        raise
    except Exception as error:  # decord throws RuntimeError, IndexError and its own kind for the same things
        reason = PREFIX.sub("", (str(error).strip().splitlines() or [type(error).__name__])[0])
        raise VideoError("decode_error", f"{job.clip.video}: decord failed ({reason}); use another decoder.") from error


def _decode(decord: Any, job: Job) -> FrameBatch:
    options: dict[str, Any] = {"ctx": decord.cpu(0), "num_threads": job.threads}
    reader = decord.VideoReader(job.path, **options)
    if job.size is not None and not job.size.exact:
        height, width = target_size(job.size, *reader[0].shape[:2])
        reader = decord.VideoReader(job.path, width=width, height=height, **options)
    timeline = _timeline(reader)
    asked = sample(job.sampling, timeline, job.clip.start, job.clip.end, cut_end=job.clip.cut_end)
    distinct = sorted(set(asked.indices))
    if job.size is not None and job.size.exact:
        height, width = target_size(job.size, *reader[0].shape[:2])
        frames = np.stack([resize_frame(reader[i].asnumpy(), height, width) for i in distinct])
    else:
        frames = reader.get_batch(distinct).asnumpy()
    return collect(job, asked, frames, {i: timeline.seconds_of(i) for i in distinct}, None)


def _timeline(reader: Any) -> Timeline:
    num_frames, fps = len(reader), float(reader.get_avg_fps()) or 1.0
    times = np.asarray(reader.get_frame_timestamp(range(num_frames)), np.float64)[:, 0]
    seconds = times - times[0]
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        return Timeline(num_frames=num_frames, fps=fps, duration_seconds=num_frames / fps)
    duration = float(seconds[-1]) + 1 / fps
    return Timeline(num_frames=num_frames, fps=fps, duration_seconds=duration, seconds=seconds)
