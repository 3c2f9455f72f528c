"""Segments that end where what is shown changes: shots that look alike are one."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.timelines.segments import Segments, merge, tile
from pipelines.timelines.splitters.base import Range, Splitter
from pipelines.timelines.splitters.shots import equal_parts, long_enough_shots
from videollm.errors import UserError
from videollm.video.surveys import Survey


class Scenes(Splitter):
    """Scenes: neighbouring shots of alike features, the most alike first, up to `max_seconds` together."""

    needs_cuts = True
    needs_alike = True

    def split(self, survey: Survey, *, alike: Sequence[float] = (), given: Sequence[Range] = ()) -> Segments:
        """Merge the shots of the survey.

        Raises:
            UserError: there is not one cosine for each two neighbouring shots.
        """
        shots, options = self.pieces(survey), self.options
        if len(alike) != len(shots) - 1:
            raise UserError(
                f"Got {len(alike)} cosines for {len(shots)} shots; expected {len(shots) - 1}, one for each two "
                "neighbours of `pieces`."
            )
        bounds = [0.0, *(shot.end for shot in shots)]
        order = sorted(range(1, len(shots)), key=lambda at: -alike[at - 1])

        def joins(at: int, start: float, _: float, end: float) -> bool:
            return alike[at - 1] >= options.alike and end - start <= options.max_seconds

        ends = [bounds[at] for at in merge(bounds, order, joins)[1:]]
        scenes = tile(ends, ["scene"] * (len(ends) - 1) + ["end"])
        return equal_parts(scenes, options.max_seconds)

    def pieces(self, survey: Survey) -> Segments:
        """Return the shots, none shorter than `min_seconds`."""
        return long_enough_shots(survey, self.options.min_seconds)
