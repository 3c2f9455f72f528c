"""Keys and values of an LLM's layers, in rows that clips and questions take when they join and give back as they leave.

SHAPES  r rows, w width of a row, m rows that are fed, s tokens fed to each, h key heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

SMALLEST: Final = 64
"""Least width of a row, and least difference of two: a pool more costs more time than such rows cost memory."""


SPARE: Final = 1.25
"""Rows that a pool makes room for as it grows, over those that it needs: copying less often costs memory."""


@dataclass(eq=False)
class Place:
    """A row of a pool. Its index changes when others leave, so that the rows in use stay the first ones."""

    pool: Pool
    index: int
    length: int = 0
    """Tokens in it."""


class Pool:
    """Rows of one width, in every layer.

    Args:
        width: most tokens of a row.
        device: where keys and values lie.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.width, self.device = width, device
        self.places: list[Place] = []
        self.positions = torch.zeros(0, width, dtype=torch.int64, device=device)
        """(r w), kept for LLMs with sliding windows alone."""
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self.capacity = 0
        """Rows that there is memory for."""
        self.version = 0
        """How often keys and values came to lie elsewhere."""

    def take(self, number: int) -> list[Place]:
        """Take rows, which lie one after the other."""
        needed = len(self.places) + number
        if needed > self.capacity:
            self._resize(max(needed, int(SPARE * self.capacity)))
        taken = [Place(self, len(self.places) + i) for i in range(number)]
        self.places += taken
        return taken

    def give_back(self, place: Place) -> None:
        """Give a row back: the last row in use takes its place."""
        last = self.places.pop()
        if last is not place:
            for tensor in (self.positions, *(t for layer in self._layers.values() for t in layer)):
                tensor[place.index] = tensor[last.index]
            last.index = place.index
            self.places[last.index] = last
        if 2 * len(self.places) < self.capacity:
            self._resize(int(SPARE * len(self.places)))

    def copies(self, place: Place, number: int) -> list[Place]:
        """Take rows that hold what a row holds."""
        taken = self.take(number)
        for tensor in (self.positions, *(t for layer in self._layers.values() for t in layer)):
            for copy in taken:
                tensor[copy.index] = tensor[place.index]
        for copy in taken:
            copy.length = place.length
        return taken

    def layer(self, number: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values (r h w d) of a layer, also of rows that are not in use.

        Args:
            number: of the layer.
            key: (... h s d) or (... h d), whose heads and type are those of the layer.
            value: likewise.
        """
        if number not in self._layers:
            # Zeros, for what is not written yet is multiplied by weights of zero, which must not make it NaN.
            self._layers[number] = tuple(
                t.new_zeros(self.capacity, t.shape[1], self.width, t.shape[-1]) for t in (key, value)
            )  # type: ignore[assignment]
        return self._layers[number]

    def _resize(self, capacity: int) -> None:
        def resized(tensor: Tensor) -> Tensor:
            made = tensor.new_zeros(capacity, *tensor.shape[1:])
            kept = min(capacity, len(tensor))
            made[:kept] = tensor[:kept]
            return made

        self.positions = resized(self.positions)
        for number, (key, value) in self._layers.items():  # one after the other: never two copies of all layers
            self._layers[number] = (resized(key), resized(value))
        self.capacity = capacity
        self.version += 1


class Pools:
    """Pools by width, so that rows of unlike lengths waste little."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pools: dict[int, Pool] = {}

    @property
    def num_tokens(self) -> int:
        """Tokens that there is memory for."""
        return sum(pool.capacity * width for width, pool in self._pools.items())

    def growth(self, rows: Mapping[int, int]) -> int:
        """Count the tokens that memory has to be made for, if numbers of rows of some widths are taken."""
        growth = 0
        for width, number in rows.items():
            pool = self._pools.get(width)
            growth += width * max(0, number - (0 if pool is None else pool.capacity - len(pool.places)))
        return growth

    def places(self) -> Iterator[Place]:
        """Iterate over the rows in use, pool by pool."""
        for pool in self._pools.values():
            yield from pool.places

    def of(self, length: int) -> Pool:
        """Return the pool of rows that hold `length` tokens."""
        width = row_width(length)
        return self._pools.setdefault(width, Pool(width, self.device))

    def give_back(self, place: Place) -> None:
        """Give a row back, and the memory of a pool that no row of is in use any more."""
        place.pool.give_back(place)
        if not place.pool.places:
            del self._pools[place.pool.width]


def row_width(length: int) -> int:
    """Return the width of the rows that hold `length` tokens: an eighth more at most, or 63, in few sizes."""
    step: int = max(SMALLEST, 2 ** (max(length - 1, 1).bit_length() - 4))
    return max(SMALLEST, -(-length // step) * step)
