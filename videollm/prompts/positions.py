"""Positions of a prompt's tokens in the LLM: rules for models that do not simply number them.

A position is a number, or (time, row, column) in models whose rotary embedding has three components (M-RoPE,
arXiv:2409.12191). A token's position depends on what lies before it alone, so that prompts that begin alike share the
positions of that beginning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from connectors.registry import Table
from videollm.engines.packing import VISUAL, Position
from videollm.errors import UserError
from videollm.types import Places


class Positions(ABC):
    """A rule: a frozen dataclass of settings that can be written as JSON."""

    @abstractmethod
    def __call__(self, ids: Sequence[int], spans: Sequence[int], places: Sequence[Places]) -> list[Position]:
        """Return a position for every token, and last that of the token to come.

        Args:
            ids: VISUAL for every visual token.
            spans: number of visual tokens of each span, in order.
            places: of each span.
        """

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Positions:
        """Build what a model's config.json describes: `kind`, a name in POSITIONS, and the fields of that class.

        Raises:
            UserError: there is no such kind, or it has no such setting.
        """
        settings = {"kind": "numbered", **values}
        cls = POSITIONS.load(settings.pop("kind"))
        try:
            return cls(**settings)
        except TypeError as error:
            raise UserError(f"Positions {cls.__name__} cannot be built from {settings}: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class Numbered(Positions):
    """Tokens are numbered from 0."""

    def __call__(self, ids: Sequence[int], spans: Sequence[int], places: Sequence[Places]) -> list[Position]:
        """Number the tokens."""
        return list(range(len(ids) + 1))


@dataclass(frozen=True, kw_only=True)
class Multimodal(Positions):
    """M-RoPE of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, as released: text goes on above the largest component of a video.

    transformers 5.3 and later let text after a video begin at half of its longer side for Qwen2.5-VL, which the models
    were not trained with.
    """

    steps_per_second: float | None = None
    """Steps of the time axis (`tokens_per_second`); None counts the frames of a span."""

    def __call__(self, ids: Sequence[int], spans: Sequence[int], places: Sequence[Places]) -> list[Position]:
        """Give text one number in all components, and visual tokens their frame, row and column."""
        made: list[Position] = []
        at = 0
        span = iter(zip(spans, places, strict=True))
        i = 0
        while i < len(ids):
            if ids[i] != VISUAL:
                made.append((at, at, at))
                at, i = at + 1, i + 1
                continue
            size, place = next(span)
            inside = [(at + t, at + h, at + w) for t, h, w in self._inside(size, place)]
            made += inside
            at, i = max(max(p) for p in inside) + 1, i + size
        return [*made, (at, at, at)]

    def _inside(self, size: int, place: Places) -> Iterator[tuple[int, int, int]]:
        """Yield offsets of the tokens of a span; tokens in no grid follow each other as text does."""
        if place.grid is None:
            yield from ((i, i, i) for i in range(size))
            return
        frames, rows, columns = place.grid
        for frame in range(frames):
            step = self._step(frame, place.clock)
            yield from ((step, row, column) for row in range(rows) for column in range(columns))

    def _step(self, frame: int, clock: Sequence[float]) -> int:
        if self.steps_per_second is None or not clock:
            return frame
        return int(clock[frame] * self.steps_per_second)


@dataclass(frozen=True, kw_only=True)
class Runs(Positions):
    """CogVLM2-Video: all but the first and the last token of a run of visual tokens share one position."""

    def __call__(self, ids: Sequence[int], spans: Sequence[int], places: Sequence[Places]) -> list[Position]:
        """Give a run of visual tokens three positions: its first, those between, its last."""
        made: list[Position] = []
        at = 0
        for visual, run in groupby(ids, lambda token: token == VISUAL):
            size = len(list(run))
            if not visual:
                made += range(at, at + size)
                at += size
            else:
                made += [at, *[at + 1] * (size - 2), at + 2][:size]
                at += 3
        return [*made, at]


POSITIONS: Final[Table[Positions]] = Table(
    noun="rule of positions",
    group="videollm.positions",
    base="videollm.prompts.positions:Positions",
    error=UserError,
    builtin={
        "numbered": "videollm.prompts.positions:Numbered",
        "multimodal": "videollm.prompts.positions:Multimodal",
        "canvas": "videollm.prompts.canvas:Canvas",
        "runs": "videollm.prompts.positions:Runs",
    },
)
