"""A step of the running batch in a fixed form: one token more of each question, in shapes and at addresses that stay.

What differs between two steps of one form are numbers in one tensor: tokens, positions, columns, which question asks
which clip, and how long the clips' rows are. Rows are filled up to a few numbers of them with such as nobody uses.

SHAPES  m rows of questions, those that are filled up included, c components of a position, r rows of clips, q questions
of a clip (the most of any, filled up), k keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from typing import Any

import torch
from torch import Tensor

from videollm.engines.attention import added_to
from videollm.engines.cascade import Fed, Spread, Step
from videollm.engines.packing import Position
from videollm.engines.parts import Own, Shared
from videollm.engines.pools import SMALLEST, Place, Pool


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The first rows of a pool."""

    pool: Pool
    version: int
    """Of the pool: another one has other addresses."""
    number: int
    columns: int
    questions: int = 1
    """Of a row (the most of any, filled up), where questions share it."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """All that is fixed in a step."""

    own: tuple[Rows, ...]
    shared: tuple[Rows, ...]
    alone: bool
    """Whether a question shares nothing."""
    components: int
    """Of a position."""

    @property
    def is_current(self) -> bool:
        """Whether the pools still lie where they did."""
        return all(rows.pool.version == rows.version for rows in (*self.own, *self.shared))

    @cached_property
    def sizes(self) -> list[int]:
        """How many numbers a step has: tokens, positions, columns, slots (m c*m m m), and of rows who asks, lengths."""
        m = sum(rows.number for rows in self.own)
        of_clips = [n for rows in self.shared for n in (rows.number * rows.questions, rows.number)]
        return [m, self.components * m, m, m, *of_clips]


@dataclass(kw_only=True)
class Asked:
    """Questions under way, laid out for steps of a fixed form.

    Args:
        places: for each question the row of what it shares, if anything, and its own: all rows in use of their pools,
            own ones pool by pool.
    """

    places: Sequence[tuple[Place | None, Place]]
    own: list[list[Place]] = field(init=False)
    at: list[int] = field(init=False)
    """For each question its row, those that are filled up counted."""

    def __post_init__(self) -> None:
        self.own = [[*of_pool] for _, of_pool in groupby((own for _, own in self.places), key=lambda place: place.pool)]
        counts = [rounded(len(of_pool), of_pool[0].pool.capacity) for of_pool in self.own]
        starts = [sum(counts[:i]) for i in range(len(counts))]
        self.at = [start + place.index for start, of_pool in zip(starts, self.own, strict=True) for place in of_pool]
        askers: dict[Place, list[int]] = {}
        for i, (place, _) in zip(self.at, self.places, strict=True):
            if place is not None:
                askers.setdefault(place, []).append(i)
        pools = dict.fromkeys(place.pool for place in askers)
        most = [rounded(max(len(askers[place]) for place in pool.places)) for pool in pools]
        self._shared = tuple(
            Rows(pool=pool, version=pool.version, number=rounded(len(pool.places), pool.capacity), columns=pool.width,
                 questions=q)
            for pool, q in zip(pools, most, strict=True)
        )  # fmt: skip
        self._versions = [(pool, pool.version) for pool in (*pools, *(of_pool[0].pool for of_pool in self.own))]
        self._counts, self._alone = counts, any(place is None for place, _ in self.places)
        self._of_clips = self._slots(sum(counts), askers)

    @property
    def is_current(self) -> bool:
        """Whether the pools are as they were."""
        return all(pool.version == version for pool, version in self._versions)

    def form(self, components: int) -> Form:
        """Return the form of the next step."""
        own = tuple(
            Rows(pool=of_pool[0].pool, version=of_pool[0].pool.version, number=number,
                 columns=rounded(max(SMALLEST, 1 + max(p.length for p in of_pool)), of_pool[0].pool.width))
            for of_pool, number in zip(self.own, self._counts, strict=True)
        )  # fmt: skip
        return Form(own=own, shared=self._shared, alone=self._alone, components=components)

    def values(self, tokens: Sequence[int], positions: Sequence[Position]) -> list[int]:
        """Return the numbers of a step that feeds a token to each question, as `Form.sizes` lists them."""
        several = isinstance(positions[0], tuple)
        by_component: list[Any] = [*zip(*positions, strict=True)] if several else [positions]
        columns = [own.length for _, own in self.places]
        return [*chain.from_iterable(map(self._spread, (tokens, *by_component, columns))), *self._of_clips]

    def real(self, made: Tensor) -> Tensor:
        """Leave out the rows that were filled up: (m ...) -> as many as there are questions."""
        parts = made.split(self._counts)
        kept = [part[: len(of_pool)] for part, of_pool in zip(parts, self.own, strict=True)]
        return kept[0] if len(kept) == 1 else torch.cat(kept)

    def _spread(self, numbers: Sequence[int]) -> list[int]:
        """Lay a number of each question in its row, and 0 in the others."""
        made = [0] * sum(self._counts)
        for i, number in zip(self.at, numbers, strict=True):
            made[i] = number
        return made

    def _slots(self, m: int, askers: dict[Place, list[int]]) -> list[int]:
        """List where questions find their results of clips' rows, and for each pool who asks each row, and its length.

        A row that is filled up has one token, so that a softmax over it is a number, and is asked by row 0.
        """
        where: dict[int, int] = {}
        of_pools: list[int] = []
        first = 0
        for rows in self._shared:
            lengths = [1] * rows.number
            asking = [0] * (rows.number * rows.questions)
            for place in rows.pool.places:
                lengths[place.index] = place.length
                begin, of_place = place.index * rows.questions, askers[place]
                asking[begin : begin + rows.questions] = of_place + of_place[:1] * (rows.questions - len(of_place))
                where |= {i: first + begin + j for j, i in enumerate(of_place)}
            of_pools += [*asking, *lengths]
            first += len(asking)
        shares = {i for of_place in askers.values() for i in of_place}
        alone = {i: first for i in self.at if i not in shares}
        return [*((where | alone).get(i, 0) for i in range(m)), *of_pools]


class FixedStep(Step):
    """A step whose numbers lie in one tensor, where the next step finds its own.

    Args:
        form: of the step.
        windows: of the layers: none has any.
        device: where it runs.
    """

    def __init__(self, form: Form, windows: Sequence[int | None], device: torch.device) -> None:
        Fed.__init__(self, windows, None)
        self.values = torch.zeros(sum(form.sizes), dtype=torch.int64, device=device)
        tokens, positions, columns, slots, *of_clips = self.values.split(form.sizes)
        self.tokens = tokens[None]
        """(1 m)."""
        self.at = positions[None] if form.components == 1 else positions.view(form.components, 1, -1)
        """(1 m), or (c 1 m)."""
        self.spread, self.alone, self.back = Spread([1] * len(tokens), device), form.alone, slots
        first = 0
        self.own, self.shared = [], []
        for rows in form.own:
            tokens_of_pool = slice(first, first + rows.number)
            self.own.append(_FixedOwn(rows, tokens_of_pool, columns[tokens_of_pool]))
            first = tokens_of_pool.stop
        for rows, index, lengths in zip(form.shared, of_clips[::2], of_clips[1::2], strict=True):
            self.shared.append(_FixedShared(rows, index, lengths))

    def prepare(self) -> None:
        """Hide what the numbers of a step say, for all layers."""
        self.num_layers = 0
        for part in self.parts:
            part.prepare()

    @property
    def parts(self) -> Iterator[_FixedOwn | _FixedShared]:
        """All parts."""
        yield from self.own  # type: ignore[misc]
        yield from self.shared  # type: ignore[misc]


class _FixedOwn(Own):
    """The first own rows of a pool, in use or not, with a token of each."""

    def __init__(self, rows: Rows, tokens: slice, columns: Tensor) -> None:
        self.pool, self.width, self.positions, self.hidden = rows.pool, rows.columns, None, None
        self.questions = self.tokens = tokens
        self.rows, self.column = slice(0, rows.number), columns
        self.row_of = torch.arange(rows.number, device=columns.device)
        self.index = torch.arange(self.width, device=columns.device)

    def prepare(self) -> None:
        assert isinstance(self.column, Tensor)
        self.added = added_to((self.index > self.column[:, None])[:, None])


class _FixedShared(Shared):
    """The first shared rows of a pool, in use or not, with as many questions of each."""

    def __init__(self, rows: Rows, index: Tensor, lengths: Tensor) -> None:
        self.pool, self.width, self.positions, self.hidden = rows.pool, rows.columns, None, None
        self.rows, self.most = slice(0, rows.number), rows.questions
        self.index, self.lengths = index, lengths
        self.columns = torch.arange(self.width, device=index.device)

    def prepare(self) -> None:
        self.added = added_to((self.columns >= self.lengths[:, None])[:, None])


def rounded(number: int, most: int | None = None) -> int:
    """Round up to a power of two, `most` at most."""
    up = 1 << (number - 1).bit_length()
    return up if most is None else min(up, most)
