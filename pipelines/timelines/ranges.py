"""Parts of surveys, and what of a video is decoded in one go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from videollm.errors import Status, VideoError
from videollm.types import Clip
from videollm.video.sampling import check_range
from videollm.video.surveys import Survey

MAX_WINDOWS: Final = 64
"""Windows of a span, so that a long video is spread over workers."""
MAX_BYTES: Final = 2**28
"""Frames of a span, which are in memory at once."""
FULL_FRAME: Final = 1920 * 1080 * 3
"""Bytes of a frame of which the model does not fix the size."""


def of_range(survey: Survey, clip: Clip) -> Survey:
    """Cut a survey to a clip's range; its times then count from the start of that.

    Raises:
        VideoError: `bad_range`: no range, or the video ends before.
    """
    if clip.start is None and clip.end is None:
        return survey
    check_range(clip.start, clip.end)
    start = clip.start or 0.0
    end = survey.duration if clip.end is None else min(clip.end, survey.duration)
    if start >= end:
        raise VideoError(
            Status.BAD_RANGE,
            f"{clip.video}: start is {start:g} s but the video ends at {survey.duration:.3f} s; start earlier.",
        )
    cuts = tuple(replace(cut, seconds=cut.seconds - start) for cut in survey.cuts if start < cut.seconds < end)
    keyframes = tuple(seconds - start for seconds in survey.keyframes if start <= seconds < end)
    return replace(survey, duration=end - start, cuts=cuts, keyframes=keyframes)


def windows_per_span(sampling: Mapping[str, Any], frame_size: Mapping[str, Any] | None) -> int:
    """Return how many windows are decoded in one go, as their frames fit into memory.

    Args:
        sampling: fields of videollm.Sampling.
        frame_size: fields of videollm.FrameSize; None is full size.
    """
    frame = FULL_FRAME
    if frame_size is not None and frame_size.get("mode") in (None, "squash"):
        frame = frame_size["height"] * frame_size["width"] * 3
    number = sampling.get("num_frames") or sampling.get("max_num_frames") or 32
    return max(1, min(MAX_WINDOWS, MAX_BYTES // (frame * number)))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two vectors; 0 where one of them is not known."""
    if not one or not other:
        return 0.0
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / max(math.hypot(*one) * math.hypot(*other), 1e-12)
