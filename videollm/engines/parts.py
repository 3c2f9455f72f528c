"""The two parts of cascade attention: each question's own keys, and those that questions share.

SHAPES  m questions fed, s tokens fed to each (the most of any), x tokens fed in all, r clips, q questions of a clip
(the most of any), h key heads, g query heads per key head, c queries laid together, k keys, d width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from torch import Tensor

from videollm.engines.attention import added_to, along, attend_to, far
from videollm.engines.pools import Place


class Own:
    """Own rows of questions, in one pool.

    Args:
        questions: their numbers among those fed.
        places: their rows.
        lengths: tokens fed to each.
        first: number of their first token among those fed.
        most: tokens fed to each, filled up.
        positions: (m s) of all tokens fed.
    """

    def __init__(
        self,
        questions: slice,
        places: Sequence[Place],
        lengths: Sequence[int],
        first: int,
        most: int,
        positions: Tensor | None,
    ) -> None:
        self.questions, self.places, self.lengths, self.most = questions, places, lengths, most
        self.pool = places[0].pool
        self.rows = rows_of(places, self.pool.device)
        self.tokens = slice(first, first + sum(lengths))
        self.row_of: Tensor | None = None
        self.positions = None if positions is None else positions[questions]
        self.place()
        if self.positions is not None:
            of_tokens = torch.cat([self.positions[i, :n] for i, n in enumerate(lengths)])
            self.pool.positions[self.row_of, self.column] = of_tokens

    def place(self) -> None:
        """Find where the tokens go, behind those that the rows hold by now, and what they may not attend to."""
        device, before = self.pool.device, [place.length for place in self.places]
        self.width = max(n + more for n, more in zip(before, self.lengths, strict=True))
        self.hidden: Tensor | None = None
        self.added: Tensor | None = None
        if self.width > min(before) + 1:
            column = torch.tensor(before, device=device)[:, None] + torch.arange(self.most, device=device)
            self.hidden = torch.arange(self.width, device=device) > column[:, :, None]
        elif isinstance(self.rows, slice) and self.positions is None:
            # All have one token, in one column.
            self.column: Tensor | int = before[0]
            return
        columns = [n + i for n, more in zip(before, self.lengths, strict=True) for i in range(more)]
        self.column = torch.tensor(columns, device=device)
        if self.row_of is None:
            of_tokens = [place.index for place, n in zip(self.places, self.lengths, strict=True) for _ in range(n)]
            self.row_of = torch.tensor(of_tokens, device=device)

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float,
        softcap: float | None,
        window: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Keep keys and values (x h d), and attend: queries (m h g*s d) of all questions to results of these."""
        keys, values = self.pool.layer(layer, key, value)
        rows = self.rows if isinstance(self.column, int) else self.row_of
        keys[rows, :, self.column], values[rows, :, self.column] = key[self.tokens], value[self.tokens]
        asked = query[self.questions]
        if window is None or self.positions is None:
            if self.added is None and self.hidden is not None:
                self.added = added_to(along(self.hidden, asked.shape[2]))
            added = self.added
        else:
            hidden = far(self.positions, self.pool.positions[self.rows, : self.width], window)
            hidden = hidden if self.hidden is None else hidden | self.hidden
            added = added_to(along(hidden, asked.shape[2]))
        kept = keys[self.rows, :, : self.width], values[self.rows, :, : self.width]
        return attend_to(asked, *kept, added, scaling, softcap)


class Shared:
    """Rows that questions share, in one pool.

    Args:
        places: the rows.
        asked: for each the numbers of its questions among those fed.
        number: of all questions fed.
        positions: (m s) of all tokens fed.
    """

    def __init__(
        self, places: Sequence[Place], asked: Sequence[Sequence[int]], number: int, positions: Tensor | None
    ) -> None:
        self.pool = places[0].pool
        device = self.pool.device
        self.rows = rows_of(places, device)
        self.most = max(len(of_clip) for of_clip in asked)
        self.questions = [i for of_clip in asked for i in (*of_clip, *[of_clip[0]] * (self.most - len(of_clip)))]
        self.index = None if self.questions == list(range(number)) else torch.tensor(self.questions, device=device)
        self.width = max(place.length for place in places)
        self.hidden: Tensor | None = None
        self.added: Tensor | None = None
        if min(place.length for place in places) < self.width:
            lengths = torch.tensor([place.length for place in places], device=device)
            self.hidden = (torch.arange(self.width, device=device) >= lengths[:, None])[:, None]
            self.added = added_to(self.hidden)
        self.positions = None if positions is None else positions[self.questions]

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float,
        softcap: float | None,
        window: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Attend: queries (m h g*s d) of all questions to results of each row's, as many for each (r*q h g*s d)."""
        keys, values = self.pool.layer(layer, key, value)
        q, added, windowed = self.most, self.added, window is not None and self.positions is not None
        if window is not None and self.positions is not None:
            at = rearrange(self.positions, "(r q) s -> r (q s)", q=q)
            hidden = far(at, self.pool.positions[self.rows, : self.width], window)
            hidden = repeat(hidden, "r (q s) k -> r (q g s) k", q=q, g=query.shape[2] // self.positions.shape[1])
            added = added_to(hidden if self.hidden is None else hidden | self.hidden)
        asked = query if self.index is None else query[self.index]
        kept = keys[self.rows, :, : self.width], values[self.rows, :, : self.width]
        if q == 1:
            return attend_to(asked, *kept, added, scaling, softcap, all_see=not windowed)
        laid = rearrange(asked, "(r q) h c d -> r h (q c) d", q=q)
        made, sums = attend_to(laid, *kept, added, scaling, softcap, all_see=not windowed)
        # (r h q*c ...) -> (r*q h c ...)
        made, sums = (t.unflatten(2, (q, -1)).transpose(1, 2).flatten(0, 1) for t in (made, sums))
        return made, sums


def rows_of(places: Sequence[Place], device: torch.device) -> slice | Tensor:
    """Index rows: a slice, which copies nothing, where they lie one after the other."""
    index = [place.index for place in places]
    if index == list(range(index[0], index[0] + len(index))):
        return slice(index[0], index[0] + len(index))
    return torch.tensor(index, device=device)
