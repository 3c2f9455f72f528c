"""Positions on canvases: the rule of MiniCPM-V 4.7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from videollm.engines.packing import VISUAL, Position
from videollm.prompts.positions import Positions
from videollm.types import Places


@dataclass(frozen=True, kw_only=True)
class Canvas(Positions):
    """Every frame is a canvas at one time, which begins where the text before it ends.

    Text goes on above the longer side of the last canvas, with one step between. Tokens in no grid are one row.
    """

    markers: tuple[int, ...] = ()
    """Tokens that lie on the canvas behind which they stand: marks of frames, line breaks."""

    def __call__(self, ids: Sequence[int], spans: Sequence[int], places: Sequence[Places]) -> list[Position]:
        """Give text one number in all components, and visual tokens their frame's number, and row and column on it."""
        made: list[Position] = []
        span = iter(zip(spans, places, strict=True))
        at = i = 0
        while i < len(ids):
            if ids[i] != VISUAL:
                # The mark in front of a frame lies at its time, and just outside its first row and column.
                opens = _opens(ids, i)
                made.append((at, max(at - 1, 0), max(at - 1, 0)) if opens else (at, at, at))
                at, i = at + (not opens), i + 1
                continue
            size, place = next(span)
            frames, height, width = place.grid or (1, 1, size)
            for _ in range(frames):
                corner = (at, at + height, at + width)
                made += [(at, at + row, at + column) for row in range(height) for column in range(width)]
                at += max(height, width) + 1
            i += size
            # Of the marks behind a frame the first lies outside its last row and column, the others where it begins.
            while i < len(ids) and ids[i] in self.markers and not _opens(ids, i):
                made.append(corner)
                corner, i = (corner[0],) * 3, i + 1
        return [*made, (at, at, at)]


def _opens(ids: Sequence[int], i: int) -> bool:
    """Tell whether visual tokens follow a token of text."""
    return ids[i] != VISUAL and i + 1 < len(ids) and ids[i + 1] == VISUAL
