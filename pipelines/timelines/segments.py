"""Segments of a video: they tile it, from its first frame to the end of its last, without a gap.

UNITS  seconds count from the first displayed frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from videollm.errors import UserError

MIN_SECONDS: Final = 0.1
"""Seconds of a segment or window that a user may ask for; below, there are more of them than frames."""


@dataclass(frozen=True)
class Segment:
    """A part of a video, [start, end)."""

    start: float
    """Seconds from the start of the video."""
    end: float
    """Seconds, exclusive; the next segment starts there."""
    reason: str
    """Why it ends there: `fixed`, `cut`, `longest` (its shot is longer), `scene`, `given`, `gap` or `end`."""

    @property
    def seconds(self) -> float:
        """Length."""
        return self.end - self.start


Segments = tuple[Segment, ...]


def window(segment: Segment, overlap: float, duration: float) -> tuple[float, float]:
    """Return the range that is decoded for a segment: it reaches half of the overlap into both neighbours.

    Args:
        segment: of a video that is `duration` seconds long.
        overlap: seconds that the windows of two neighbours share; their border is in the middle.
        duration: seconds.
    """
    return max(0.0, segment.start - overlap / 2), min(duration, segment.end + overlap / 2)


def tile(ends: Sequence[float], reasons: Sequence[str]) -> Segments:
    """Make segments that begin at 0 and end, one after the other, at `ends`."""
    starts = (0.0, *ends[:-1])
    return tuple(Segment(*part) for part in zip(starts, ends, reasons, strict=True))


def check_tiling(segments: Sequence[Segment], duration: float, *, made_by: str) -> None:
    """Check that segments are a video, no more and no less.

    Raises:
        UserError: they leave a gap, overlap, or do not run from 0 to `duration`.
    """
    bounds = [0.0, *(s.end for s in segments)]
    starts = [s.start for s in segments]
    if not segments or starts != bounds[:-1] or bounds[-1] != duration or any(a >= b for a, b in pairwise(bounds)):
        shown = ", ".join(f"{s.start:g}-{s.end:g}" for s in segments[:5]) + (", ..." if len(segments) > 5 else "")
        raise UserError(
            f"The splitter {made_by} made the segments {shown or '(none)'} of a video of {duration:g} s; expected "
            "segments that run from 0 to its end, each beginning where the one before ends. Mend its `split`."
        )


def merge(
    bounds: Sequence[float], order: Sequence[int], joins: Callable[[int, float, float, float], bool]
) -> list[int]:
    """Take boundaries away, each looked at once, in a given order; segments only grow.

    Args:
        bounds: (n + 1,) ascending; the first and the last one stay.
        order: numbers of inner boundaries, the first one looked at first.
        joins: told a boundary's number, and the times of the one before it, of itself and of the one after it, of
            those that are left; says whether it goes.
    Returns:
        Numbers of the boundaries that are left, ascending.
    """
    before, after = list(range(-1, len(bounds) - 1)), list(range(1, len(bounds) + 1))
    gone = set()
    for at in order:
        left, right = before[at], after[at]
        if joins(at, bounds[left], bounds[at], bounds[right]):
            gone.add(at)
            after[left], before[right] = right, left
    return [at for at in range(len(bounds)) if at not in gone]
