"""Segments that the user gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipelines.timelines.segments import Segments, tile
from pipelines.timelines.splitters.base import Range, Splitter
from videollm.errors import Status, UserError, VideoError
from videollm.video.sampling.timeline import END_TOLERANCE_SECONDS
from videollm.video.surveys import Survey

ROUNDING_SECONDS: Final = 0.0015
"""Two times this near are one: files with times round them to milliseconds."""


class Given(Splitter):
    """The ranges of a manifest, subtitles or chapters; what lies between them is segments of its own (`gap`)."""

    needs_given = True

    def split(self, survey: Survey, *, alike: Sequence[float] = (), given: Sequence[Range] = ()) -> Segments:
        """Split at the starts and ends given.

        Raises:
            UserError: no range, or ranges that overlap.
            VideoError: `bad_range`: a range lies past the end of the video.
        """
        check_ranges(given, survey.video)
        ends: list[float] = []
        reasons: list[str] = []

        def advance(end: float, reason: str) -> None:
            ends.append(end)
            reasons.append(reason)

        for start, end in given:
            past = start >= survey.duration or (ends and ends[-1] >= survey.duration)
            if past or end > survey.duration + END_TOLERANCE_SECONDS:
                raise VideoError(
                    Status.BAD_RANGE,
                    f"{survey.video}: the segment {start:g} s to {end:g} s is given, but the video ends at "
                    f"{survey.duration:.3f} s; end earlier.",
                )
            if start - (ends[-1] if ends else 0.0) > ROUNDING_SECONDS:
                advance(start, "gap")
            near_end = survey.duration - end <= ROUNDING_SECONDS
            advance(survey.duration if near_end else end, "given")
        if ends[-1] < survey.duration:
            advance(survey.duration, "gap")
        return tile(ends, reasons)


def check_ranges(given: Sequence[Range], video: str) -> None:
    """Check ranges of one video, before the video is read.

    Raises:
        UserError: there is none, one is empty or begins before 0, or two overlap.
    """
    if not given:
        raise UserError(f"{video}: no segment is given; give at least one, or choose another --split.")
    before = 0.0
    for start, end in given:
        if not start >= 0 or not end > start + ROUNDING_SECONDS:
            raise UserError(f"{video}: the segment {start:g} s to {end:g} s is given; expected 0 <= start < end.")
        if start < before - ROUNDING_SECONDS:
            raise UserError(
                f"{video}: segments overlap: one ends at {before:g} s, the next begins at {start:g} s; give segments "
                "that do not overlap (windows that do: --overlap)."
            )
        before = end
