"""Attention in two parts: to what the questions of a clip share, once a clip, and to each question's own tokens.

All queries of a clip's questions meet the clip's keys as one matrix (query heads that share a key head are laid along
the queries, so that no key is copied), each question's queries meet its own keys, and the two results are merged by
their log-sum-exp: cascade attention (arXiv:2402.05099; flashinfer.ai/2024/02/02/cascade-inference.html).

SHAPES  m questions fed, s tokens fed to each (the most of any), x tokens fed in all, r clips, q questions of a clip
(the most of any), h key heads, g query heads per key head, c queries laid together, k keys, d width of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from videollm.engines.attention import LEAST, along, attend_to, far, grouped, joined
from videollm.engines.pools import Place

CASCADE: Final = "videollm_cascade"


class Fed(ABC):
    """Tokens that go through an LLM: where their keys and values are kept, and what they attend to.

    Args:
        windows: for each layer the tokens that a query reaches back, itself included; None is all.
        positions: (m s) of the tokens, where a layer has a window.
    """

    def __init__(self, windows: Sequence[int | None], positions: Tensor | None) -> None:
        self.windows, self.positions = windows, positions
        self.num_layers = 0
        """Layers that attended."""

    @abstractmethod
    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, softcap: float | None
    ) -> Tensor:
        """Keep keys and values of a layer, and attend.

        Args:
            layer: its number.
            query: (m h*g s d).
            key: (m h s d).
            value: likewise.
            scaling: factor of the scores.
            softcap: bounds the scores, if given (arXiv:2408.00118).
        Returns:
            (m s h*g d).
        """


class Prefill(Fed):
    """What clips share, all of one length: plain causal attention.

    Args:
        places: a row for each clip, one after the other in one pool.
    """

    def __init__(self, places: Sequence[Place], windows: Sequence[int | None], positions: Tensor | None) -> None:
        super().__init__(windows, positions)
        self.pool, self.rows = places[0].pool, slice(places[0].index, places[0].index + len(places))
        if positions is not None:
            self.pool.positions[self.rows, : positions.shape[1]] = positions

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, softcap: float | None
    ) -> Tensor:
        """Keep keys and values of a layer, and attend, see `Fed.attend`."""
        keys, values = self.pool.layer(layer, key, value)
        s, window = key.shape[2], self.windows[layer]
        keys[self.rows, :, :s], values[self.rows, :, :s] = key, value
        if softcap is None and (window is None or s <= window):
            alike = query.shape[1] == key.shape[1]
            made = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=not alike)
            return rearrange(made, "m h s d -> m s h d")
        hidden = torch.ones(1, s, s, dtype=torch.bool, device=key.device).triu(1)
        if window is not None and self.positions is not None:
            hidden = hidden | far(self.positions, self.positions, window)
        made, _ = attend_to(grouped(query, key), key, value, along(hidden, query, key), scaling, softcap)
        return rearrange(made, "m h (g s) d -> m s (h g) d", s=s)


class Step(Fed):
    """The next tokens of questions, all in one row: (1 x) where x is the number of tokens of all of them.

    Args:
        questions: for each the row of what it shares, if anything, and its own. Own rows of one pool lie together.
        lengths: tokens fed to each question.
    """

    def __init__(
        self,
        questions: Sequence[tuple[Place | None, Place]],
        lengths: Sequence[int],
        windows: Sequence[int | None],
        positions: Tensor | None,
    ) -> None:
        super().__init__(windows, None if positions is None else positions.flatten())
        own, shared = [place for _, place in questions], [place for place, _ in questions]
        device = own[0].pool.device
        # 1. Questions with fewer tokens than others are filled up with their last one, for attention alone.
        self.spread = _Spread(lengths, device)
        at = None if self.positions is None else self.positions[self.spread.index]
        # 2. Own rows, pool by pool.
        bounds = [i for i, place in enumerate(own) if i == 0 or place.pool is not own[i - 1].pool]
        self.own = [
            _Own(slice(first, end), own[first:end], lengths[first:end], sum(lengths[:first]), self.spread.most, at)
            for first, end in zip(bounds, [*bounds[1:], len(own)], strict=True)
        ]
        # 3. Rows of clips, pool by pool. They give a result for every clip and each of as many questions as any clip
        #    has; one more stands for questions that share nothing.
        by_pool: dict[int, dict[Place, list[int]]] = {}
        for i, place in enumerate(shared):
            if place is not None:
                by_pool.setdefault(id(place.pool), {}).setdefault(place, []).append(i)
        self.shared = [_Shared([*of_pool], [*of_pool.values()], at) for of_pool in by_pool.values()]
        slots = [i for part in self.shared for i in part.questions]
        where = {i: slot for slot, i in reversed([*enumerate(slots)])}
        back = [where.get(i, len(slots)) for i in range(len(questions))]
        self.alone = len(slots) in back
        self.back = None if back == list(range(len(slots))) else torch.tensor(back, device=device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, softcap: float | None
    ) -> Tensor:
        """Keep keys and values of a layer, and attend, see `Fed.attend`."""
        window, rows = self.windows[layer], len(query)
        key, value = (rearrange(t, "one h s d -> (one s) h d") for t in (key, value))
        query = rearrange(query, "one (h g) s d -> (one s) h g d", h=key.shape[1])
        laid = self.spread(query)
        made, sums = joined([p.attend(layer, laid, key, value, scaling, softcap, window) for p in self.own])
        if self.shared:
            also = [p.attend(layer, laid, key, value, scaling, softcap, window) for p in self.shared]
            if self.alone:
                nothing = also[0][0].new_zeros(1, *laid.shape[1:]), also[0][1].new_full((1, *laid.shape[1:3], 1), LEAST)
                also.append(nothing)
            made_too, sums_too = joined(also)
            if self.back is not None:
                made_too, sums_too = made_too[self.back], sums_too[self.back]
            # The share of a part is that of its sum of exponentials.
            made = torch.lerp(made_too.float(), made.float(), torch.sigmoid(sums - sums_too)).to(value.dtype)
        return rearrange(self.spread.undo(made), "(one s) h g d -> one s (h g) d", one=rows)


class _Spread:
    """Tokens of questions, end to end or as many for each."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self.most = max(lengths)
        self.even = min(lengths) == self.most
        first = [sum(lengths[:i]) for i in range(len(lengths))] if not self.even else []
        if self.even:
            self.index = torch.arange(len(lengths) * self.most, device=device).view(len(lengths), self.most)
        else:
            of_each = [[f + min(i, n - 1) for i in range(self.most)] for f, n in zip(first, lengths, strict=True)]
            self.index = torch.tensor(of_each, device=device)
            real = [j * self.most + i for j, n in enumerate(lengths) for i in range(n)]
            self.real = torch.tensor(real, device=device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Spread tokens, and lay the query heads of a key head along them: (x h g d) -> (m h g*s d)."""
        spread = rearrange(tokens, "(m s) h g d -> m s h g d", s=self.most) if self.even else tokens[self.index]
        return rearrange(spread, "m s h g d -> m h (g s) d")

    def undo(self, laid: Tensor) -> Tensor:
        """Lay tokens end to end again: (m h g*s d) -> (x h g d)."""
        tokens = rearrange(laid, "m h (g s) d -> (m s) h g d", s=self.most)
        return tokens if self.even else tokens[self.real]


class _Own:
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
        self.questions, self.pool = questions, places[0].pool
        device = self.pool.device
        self.rows = _rows(places, device)
        self.tokens = slice(first, first + sum(lengths))
        pairs = [(p.index, p.length + i) for p, n in zip(places, lengths, strict=True) for i in range(n)]
        self.row_of, self.column_of = torch.tensor(pairs, device=device).T
        before = [place.length for place in places]
        self.width = max(place.length + n for place, n in zip(places, lengths, strict=True))
        self.hidden: Tensor | None = None
        if self.width > min(before) + 1:
            column = torch.tensor(before, device=device)[:, None] + torch.arange(most, device=device)
            self.hidden = torch.arange(self.width, device=device) > column[:, :, None]
        self.positions = positions
        if positions is not None:
            self.positions = positions[questions]
            of_tokens = [self.positions[i, :n] for i, n in enumerate(lengths)]
            self.pool.positions[self.row_of, self.column_of] = torch.cat(of_tokens)

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
        keys[self.row_of, :, self.column_of] = key[self.tokens]
        values[self.row_of, :, self.column_of] = value[self.tokens]
        hidden = self.hidden
        if window is not None and self.positions is not None:
            beyond = far(self.positions, self.pool.positions[self.rows, : self.width], window)
            hidden = beyond if hidden is None else hidden | beyond
        if hidden is not None and hidden.shape[1] > 1:
            hidden = repeat(hidden, "m s k -> m (g s) k", g=query.shape[2] // hidden.shape[1])
        kept = keys[self.rows, :, : self.width], values[self.rows, :, : self.width]
        return attend_to(query[self.questions], *kept, hidden, scaling, softcap)


class _Shared:
    """Rows that questions share, in one pool.

    Args:
        places: the rows.
        asked: for each the numbers of its questions among those fed.
        positions: (m s) of all tokens fed.
    """

    def __init__(self, places: Sequence[Place], asked: Sequence[Sequence[int]], positions: Tensor | None) -> None:
        self.pool = places[0].pool
        device = self.pool.device
        self.rows = _rows(places, device)
        self.most = max(len(of_clip) for of_clip in asked)
        self.questions = [i for of_clip in asked for i in (*of_clip, *[of_clip[0]] * (self.most - len(of_clip)))]
        self.index = torch.tensor(self.questions, device=device)
        self.in_order = self.questions == list(range(len(self.questions)))
        self.width = max(place.length for place in places)
        self.hidden: Tensor | None = None
        if min(place.length for place in places) < self.width:
            lengths = torch.tensor([place.length for place in places], device=device)
            self.hidden = (torch.arange(self.width, device=device) >= lengths[:, None])[:, None]
        self.positions = None if positions is None else positions[self.index]

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
        hidden, q = self.hidden, self.most
        if window is not None and self.positions is not None:
            at = rearrange(self.positions, "(r q) s -> r (q s)", q=q)
            beyond = far(at, self.pool.positions[self.rows, : self.width], window)
            beyond = repeat(beyond, "r (q s) k -> r (q g s) k", q=q, g=query.shape[2] // self.positions.shape[1])
            hidden = beyond if hidden is None else hidden | beyond
        asked = query if self.in_order and len(query) == len(self.index) else query[self.index]
        laid = rearrange(asked, "(r q) h c d -> r h (q c) d", q=q)
        kept = keys[self.rows, :, : self.width], values[self.rows, :, : self.width]
        made, sums = attend_to(laid, *kept, hidden, scaling, softcap)
        return tuple(rearrange(t, "r h (q c) d -> (r q) h c d", q=q) for t in (made, sums))  # type: ignore[return-value]


def _rows(places: Sequence[Place], device: torch.device) -> slice | Tensor:
    """Index rows: a slice, which copies nothing, where they lie one after the other."""
    index = [place.index for place in places]
    if index == list(range(index[0], index[0] + len(index))):
        return slice(index[0], index[0] + len(index))
    return torch.tensor(index, device=device)


_fed: ContextVar[Fed] = ContextVar("fed")


def cascade_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as the tokens that are being fed do, in the place of transformers' own implementations."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    fed = _fed.get()
    fed.num_layers += 1
    return fed.attend(module.layer_idx, query, key, value, scaling, softcap), None  # type: ignore[arg-type]


# No mask is registered under this name, so that transformers makes none.
AttentionInterface.register(CASCADE, cascade_attention)


@contextmanager
def feeding(llm: PreTrainedModel, fed: Fed) -> Iterator[None]:
    """Let the LLM attend as `fed` says in a block of code."""
    config = llm.config.get_text_config(decoder=True)
    before, token = config._attn_implementation, _fed.set(fed)
    config._attn_implementation = CASCADE
    try:
        yield
    finally:
        config._attn_implementation = before
        _fed.reset(token)
