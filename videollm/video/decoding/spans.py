"""Spans of a file: windows that one task decodes, so that a long file is spread over many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from videollm.errors import UserError

MAX_WINDOWS: Final = 64
"""Windows of a span."""
MAX_BYTES: Final = 256 << 20
"""Bytes of the frames of a span; a window that has more is a span of its own."""


def plan_spans(
    windows: Sequence[tuple[float, float]],
    key_seconds: NDArray[np.float64],
    window_bytes: int,
    *,
    max_windows: int = MAX_WINDOWS,
    max_bytes: int = MAX_BYTES,
) -> tuple[range, ...]:
    """Cut the windows of a file into spans of neighbours, at keyframes where there are some.

    What two spans both need is decoded twice: from the keyframe that the second one begins with to the end of the
    first. Of the cuts in the second half of the longest span that is allowed, the cheapest is made, the last of equals.

    Args:
        windows: (start, end) seconds, ascending by start; they may overlap.
        key_seconds: (k,) ascending times of the keyframes.
        window_bytes: bytes of the frames of one window.
        max_windows: most windows of a span.
        max_bytes: most bytes of the frames of a span.
    Returns:
        Numbers of the windows of every span; together all of them, in order.
    Raises:
        UserError: the windows are not ascending, or a limit is below 1.
    """
    starts = [start for start, _ in windows]
    if any(a > b for a, b in pairwise(starts)):
        raise UserError("The windows do not ascend; sort them by their start to cut them into spans.")
    if min(max_windows, max_bytes, window_bytes) < 1:
        got = f"max_windows {max_windows}, max_bytes {max_bytes}, window_bytes {window_bytes}"
        raise UserError(f"Spans cannot have {got}; expected 1 or more each.")
    most = max(1, min(max_windows, max_bytes // window_bytes))
    latest_end = np.maximum.accumulate([end for _, end in windows]) if windows else np.zeros(0)
    before = np.searchsorted(key_seconds, starts, side="right") - 1  # of each window, the keyframe it begins with
    begins = np.where(before >= 0, key_seconds[before], 0.0) if len(key_seconds) else np.zeros(len(starts))
    spans: list[range] = []
    first = 0
    while len(windows) - first > most:
        cuts = range(first + (most + 1) // 2, first + most + 1)
        twice = [max(0.0, float(latest_end[cut - 1] - begins[cut])) for cut in cuts]
        cheapest = max(cut for cut, seconds in zip(cuts, twice, strict=True) if seconds <= min(twice) + 1e-6)
        spans.append(range(first, cheapest))
        first = cheapest
    if windows:
        spans.append(range(first, len(windows)))
    return tuple(spans)
