"""Segments that end where the camera cuts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.timelines.segments import Segment, Segments, merge, tile
from pipelines.timelines.splitters.base import Range, Splitter
from videollm.video.surveys import Survey


class Shots(Splitter):
    """Shots: short ones join the neighbour across their weaker cut, long ones are cut into equal parts."""

    needs_cuts = True

    def split(self, survey: Survey, *, alike: Sequence[float] = (), given: Sequence[Range] = ()) -> Segments:
        """Split at the cuts of the survey."""
        return equal_parts(long_enough_shots(survey, self.options.min_seconds), self.options.max_seconds)


def long_enough_shots(survey: Survey, min_seconds: float) -> Segments:
    """Return the shots of a video, none shorter than `min_seconds` unless the video is."""
    strengths = {cut.seconds: cut.strength for cut in survey.cuts if 0 < cut.seconds < survey.duration}
    bounds = [0.0, *sorted(strengths), survey.duration]
    # The weakest cut goes first if either side is too short. Sides only grow, so a cut that stays need not be looked at
    # again, and of a short shot's two cuts the weaker one goes: that is the side with the more alike neighbour.
    order = sorted(range(1, len(bounds) - 1), key=lambda at: strengths[bounds[at]])
    kept = merge(bounds, order, lambda _, a, b, c: min(b - a, c - b) < min_seconds)
    ends = [bounds[at] for at in kept[1:]]
    return tile(ends, ["cut"] * (len(ends) - 1) + ["end"])


def equal_parts(segments: Sequence[Segment], max_seconds: float) -> Segments:
    """Cut segments that are longer than `max_seconds` into as few equal parts as are not."""
    ends, reasons = [], []
    for segment in segments:
        number = max(1, math.ceil(segment.seconds / max_seconds - 1e-9))
        ends += [segment.start + segment.seconds * part / number for part in range(1, number)] + [segment.end]
        reasons += ["longest"] * (number - 1) + [segment.reason]
    return tile(ends, reasons)
