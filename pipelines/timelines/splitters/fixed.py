"""Segments of one length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from pipelines.timelines.segments import Segments, tile
from pipelines.timelines.splitters.base import Range, Splitter
from videollm.video.surveys import Survey

USUAL_OVERLAP: Final = 2.0
"""Seconds."""


class Fixed(Splitter):
    """Segments of `segment_seconds`; a remainder of less than half of that joins the last one."""

    @property
    def overlap(self) -> float:
        """Seconds that neighbours' windows share: what happens at a boundary is seen as a whole by one of them."""
        given = self.options.overlap
        return min(USUAL_OVERLAP, self.options.segment_seconds / 2) if given is None else given

    def split(self, survey: Survey, *, alike: Sequence[float] = (), given: Sequence[Range] = ()) -> Segments:
        """Split at multiples of the length."""
        length, duration = self.options.segment_seconds, survey.duration
        # The n-th boundary is n times the length, so that errors of addition do not pile up.
        number = max(1, math.floor(duration / length))
        if duration - number * length >= length / 2:
            number += 1
        ends = [n * length for n in range(1, number)]
        return tile([*ends, duration], ["fixed"] * len(ends) + ["end"])
