"""The interface of a splitter, and the table of splitters: pure functions from what is known of a video to segments."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from connectors.registry import Table
from pipelines.timelines.segments import Segment, Segments, check_tiling
from videollm.errors import UserError
from videollm.video.surveys import Survey

Range = tuple[float, float]
"""Start and end, seconds from the start of the video."""


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How long videos are split; all of it decides which rows there are, so it is part of a job's configuration."""

    segment_seconds: float = 30.0
    """Length of a segment (`fixed`)."""
    overlap: float | None = None
    """Seconds that the windows of neighbouring segments share; frames of a window are sampled from all of it. By
    default 2 for `fixed`, and none where segments end with what they show."""
    min_seconds: float = 2.0
    """A shorter shot joins the neighbour that it is more like (`shots`, `scenes`)."""
    max_seconds: float = 60.0
    """A longer shot is cut into equal parts (`shots`, `scenes`)."""
    alike: float = 0.9
    """Neighbouring shots are one scene from this cosine of their mean tower features on (`scenes`)."""
    shot_cues: str = "pixels"
    """What finds cuts (`shots`, `scenes`): a name in CUES."""

    def __post_init__(self) -> None:
        for name in ("segment_seconds", "min_seconds", "max_seconds"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise UserError(f"--{name.replace('_', '-')} is {value:g}; expected a number of seconds above 0.")
        if self.overlap is not None and not 0 <= self.overlap < self.segment_seconds:
            raise UserError(
                f"--overlap is {self.overlap:g} with segments of {self.segment_seconds:g} s; expected 0 or more, and "
                "less than a segment."
            )
        if self.max_seconds < 2 * self.min_seconds:
            raise UserError(
                f"--min-seconds is {self.min_seconds:g} and --max-seconds {self.max_seconds:g}; expected a maximum of "
                "at least twice the minimum, so that half of what is too long is not too short."
            )
        if not -1 <= self.alike <= 1:
            raise UserError(f"--alike is {self.alike:g}; expected a cosine, -1 to 1.")


class Splitter(ABC):
    """A way to split; a subclass needs no more than `split`, and reads no file."""

    needs_cuts: ClassVar[bool] = False
    """Whether the survey must hold cuts."""
    needs_alike: ClassVar[bool] = False
    """Whether it must be told how alike neighbours of `pieces` are."""
    needs_given: ClassVar[bool] = False
    """Whether it must be given ranges."""

    def __init__(self, options: SplitOptions) -> None:
        self.options = options

    @property
    def overlap(self) -> float:
        """Seconds that the windows of neighbours share."""
        return self.options.overlap or 0.0

    @abstractmethod
    def split(self, survey: Survey, *, alike: Sequence[float] = (), given: Sequence[Range] = ()) -> Segments:
        """Split a video.

        Args:
            survey: what is known of it; with cuts where `needs_cuts`.
            alike: cosine of the mean tower features of each two neighbours of `pieces(survey)`, where `needs_alike`.
            given: ranges of this video, ascending, where `needs_given`.
        Returns:
            Segments that tile [0, survey.duration).
        """

    def pieces(self, survey: Survey) -> Segments:
        """Return the parts whose likeness `split` must be told, where `needs_alike`."""
        return (Segment(0.0, survey.duration, "end"),)


SPLITTERS: Final[Table[Splitter]] = Table(
    noun="splitter",
    group="videollm.splitters",
    base="pipelines.timelines.splitters.base:Splitter",
    error=UserError,
    builtin={
        "fixed": "pipelines.timelines.splitters.fixed:Fixed",
        "shots": "pipelines.timelines.splitters.shots:Shots",
        "scenes": "pipelines.timelines.splitters.scenes:Scenes",
        "given": "pipelines.timelines.splitters.given:Given",
    },
)


def split(
    name: str,
    survey: Survey,
    options: SplitOptions,
    *,
    alike: Sequence[float] = (),
    given: Sequence[Range] = (),
) -> Segments:
    """Split a video by the splitter of a name; arguments as for `Splitter.split`.

    Raises:
        UserError: there is no such splitter, or what it made does not tile the video.
        VideoError: `bad_range`: the given ranges are not ranges of this video.
    """
    segments = SPLITTERS.load(name)(options).split(survey, alike=alike, given=given)
    check_tiling(segments, survey.duration, made_by=name)
    return segments
