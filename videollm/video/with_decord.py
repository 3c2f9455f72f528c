"""decord as a selectable backend. It is not frame exact: see `tests/video/test_exact.py` for where it differs."""

from __future__ import annotations

from typing import Any

import numpy as np

from videollm.types import FrameBatch
from videollm.video.container import check_file
from videollm.video.errors import VideoError
from videollm.video.picked import Job, collect
from videollm.video.sample import Timeline, sample
from videollm.video.scale import target_size


def decode_decord(job: Job) -> FrameBatch:
    """Decode with decord, as it numbers and times the frames itself.

    Raises:
        VideoError: `missing_dependency`, or as `decode.decode`.
    """
    try:
        import decord
    except ImportError:
        raise VideoError("missing_dependency", "decord is not installed; pip install decord, or use --decoder auto.") from None
    check_file(job.path)
    try:
        reader: Any = decord.VideoReader(job.path, ctx=decord.cpu(0), num_threads=job.threads)
        if job.size is not None:
            height, width = target_size(job.size, *reader[0].shape[:2])
            reader = decord.VideoReader(
                job.path, ctx=decord.cpu(0), num_threads=job.threads, width=width, height=height
            )
        num_frames = len(reader)
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError("no_video", f"{job.clip.video}: decord cannot open it ({_first_line(error)}).") from error
    if not num_frames:
        raise VideoError("no_video", f"{job.clip.video}: decord finds no frame in it; expected a video.")
    times = np.asarray(reader.get_frame_timestamp(range(num_frames)), np.float64)
    seconds = np.sort(times[:, 0] - times[:, 0].min())
    fps = float(reader.get_avg_fps()) or 1.0
    duration = float(times[:, 1].max() - times[:, 0].min())
    timeline = Timeline(num_frames=num_frames, fps=fps, duration_seconds=duration, seconds=seconds)
    asked = sample(job.sampling, timeline, job.clip.start, job.clip.end).indices
    distinct = sorted(set(asked))
    try:
        frames = reader.get_batch(distinct).asnumpy()
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError("decode_error", f"{job.clip.video}: decord failed ({_first_line(error)}).") from error
    return collect(job, asked, frames, {i: float(seconds[i]) for i in distinct}, None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
