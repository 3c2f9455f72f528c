"""decord as a selectable decoder. It is not frame exact: `tests/videollm/video/test_exact.py` shows where."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from videollm.errors import Status, VideoError, VideollmError
from videollm.io import check_file
from videollm.types import FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest, choose, lay_out
from videollm.video.preprocessing.frame_size import resize_frame, target_size
from videollm.video.sampling import Timeline

PREFIX: Final = re.compile(r"^(\[\d\d:\d\d:\d\d\] \S+:\d+: )+")
"""Clock and line of code with which decord's messages begin: the same failure must read the same in two runs."""


class DecordDecoder(Decoder):
    """Numbers and times the frames as decord does."""

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode the frames that decord takes for those asked for.

        Raises:
            VideoError: `missing_dependency`, or as `decode.decode`.
        """
        try:
            import decord
        except ImportError:
            raise VideoError(
                Status.MISSING_DEPENDENCY, "decord is not installed; install it, or use another decoder."
            ) from None
        check_file(request.path)
        try:
            return _decode(decord, request)
        except VideollmError:
            raise
        except Exception as error:  # decord throws RuntimeError, IndexError and its own kind for the same things
            reason = PREFIX.sub("", (str(error).strip().splitlines() or [type(error).__name__])[0])
            message = f"{request.clip.video}: decord failed ({reason}); use another decoder."
            raise VideoError(Status.DECODE_ERROR, message) from error


def _decode(decord: Any, request: DecodeRequest) -> FrameBatch:
    options: dict[str, Any] = {"ctx": decord.cpu(0), "num_threads": request.threads}
    reader = decord.VideoReader(request.path, **options)
    timeline = _timeline(reader)
    asked, request = choose(request, timeline)
    size = request.size
    if size is not None and not size.exact:
        height, width = target_size(size, *reader[0].shape[:2])
        reader = decord.VideoReader(request.path, width=width, height=height, **options)
    distinct = sorted(set(asked.indices))
    if size is not None and size.exact:
        height, width = target_size(size, *reader[0].shape[:2])
        frames = np.stack([resize_frame(reader[i].asnumpy(), height, width, size.filter) for i in distinct])
    else:
        frames = reader.get_batch(distinct).asnumpy()
    return lay_out(request, asked, frames, {i: timeline.seconds_of(i) for i in distinct}, None)


def _timeline(reader: Any) -> Timeline:
    num_frames, fps = len(reader), float(reader.get_avg_fps()) or 1.0
    times = np.asarray(reader.get_frame_timestamp(range(num_frames)), np.float64)[:, 0]
    seconds = times - times[0]
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        return Timeline(num_frames=num_frames, fps=fps, duration_seconds=num_frames / fps)
    duration = float(seconds[-1]) + 1 / fps
    return Timeline(num_frames=num_frames, fps=fps, duration_seconds=duration, seconds=seconds)
