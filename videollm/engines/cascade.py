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
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any, Final

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from videollm.engines.attention import LEAST, added_to, along, attend_to, far, grouped, joined
from videollm.engines.parts import Own, Shared, rows_of
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
    """What clips share: plain causal attention. All their tokens lie in one row (1 x), so that nothing is padded.

    Args:
        places: for each clip its row, whose `length` is not set yet. Rows of one pool lie together.
        lengths: tokens of each clip; those of one length lie together, one after the other in their pool.
        windows: see `Fed`.
        positions: (1 x), likewise.
    """

    def __init__(
        self,
        places: Sequence[Place],
        lengths: Sequence[int],
        windows: Sequence[int | None],
        positions: Tensor | None,
    ) -> None:
        super().__init__(windows, positions)
        self.runs: list[tuple[int, list[Place], slice]] = []
        first = 0
        for length, pairs in groupby(zip(lengths, places, strict=True), key=itemgetter(0)):
            alike = [place for _, place in pairs]
            self.runs.append((length, alike, slice(first, first + length * len(alike))))
            first = self.runs[-1][2].stop
        if positions is not None:
            for length, alike, tokens in self.runs:
                rows = rows_of(alike, positions.device)
                alike[0].pool.positions[rows, :length] = positions[0, tokens].view(-1, length)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, softcap: float | None
    ) -> Tensor:
        """Keep keys and values of a layer, and attend, see `Fed.attend`."""
        made = []
        for length, places, tokens in self.runs:
            q, k, v = (
                rearrange(t[:, :, tokens], "one h (m s) d -> (one m) h s d", s=length) for t in (query, key, value)
            )
            at = None if self.positions is None else self.positions[0, tokens].view(-1, length)
            made.append(self._attend_alike(layer, places, q, k, v, at, scaling, softcap))
        return made[0] if len(made) == 1 else torch.cat(made, 1)

    def _attend_alike(
        self,
        layer: int,
        places: Sequence[Place],
        query: Tensor,
        key: Tensor,
        value: Tensor,
        positions: Tensor | None,
        scaling: float,
        softcap: float | None,
    ) -> Tensor:
        """Attend within clips of one length: (m h s d) -> (1 m*s h d)."""
        keys, values = places[0].pool.layer(layer, key, value)
        rows, s, window = rows_of(places, key.device), key.shape[2], self.windows[layer]
        keys[rows, :, :s], values[rows, :, :s] = key, value
        if softcap is None and (window is None or s <= window):
            alike = query.shape[1] == key.shape[1]
            made = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=not alike)
            return rearrange(made, "m h s d -> 1 (m s) h d")
        hidden = torch.ones(1, s, s, dtype=torch.bool, device=key.device).triu(1)
        if window is not None and positions is not None:
            hidden = hidden | far(positions, positions, window)
        laid = grouped(query, key)
        made, _ = attend_to(laid, key, value, added_to(along(hidden, laid.shape[2])), scaling, softcap)
        return rearrange(made, "m h (g s) d -> 1 (m s) (h g) d", s=s)


class Step(Fed):
    """The next tokens of questions, all in one row: (1 x) where x is the number of tokens of all of them.

    Args:
        questions: for each the row of what it shares, if anything, and its own. Own rows of one pool lie together.
        lengths: tokens fed to each question.
        windows: see `Fed`.
        positions: (1 x), likewise; or (x 1).
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
        self.spread = Spread(lengths, device)
        at = None if self.positions is None else self.positions[self.spread.index(device)]
        # 2. Own rows, pool by pool.
        bounds = [i for i, place in enumerate(own) if i == 0 or place.pool is not own[i - 1].pool]
        self.own = [
            Own(slice(first, end), own[first:end], lengths[first:end], sum(lengths[:first]), self.spread.most, at)
            for first, end in zip(bounds, [*bounds[1:], len(own)], strict=True)
        ]
        # 3. Rows of clips, pool by pool. They give a result for every clip and each of as many questions as any clip
        #    has; one more stands for questions that share nothing.
        by_pool: dict[int, dict[Place, list[int]]] = {}
        for i, place in enumerate(shared):
            if place is not None:
                by_pool.setdefault(id(place.pool), {}).setdefault(place, []).append(i)
        self.shared = [Shared([*of_pool], [*of_pool.values()], len(own), at) for of_pool in by_pool.values()]
        slots = [i for part in self.shared for i in part.questions]
        where = {i: slot for slot, i in reversed([*enumerate(slots)])}
        back = [where.get(i, len(slots)) for i in range(len(questions))]
        self.alone = len(slots) in back
        self.back = None if back == list(range(len(slots))) else torch.tensor(back, device=device)

    def again(self) -> Step:
        """Feed a token more to each of the same questions, after a step that fed one, of an LLM without windows."""
        # Own rows are one token longer, all else is as it was.
        self.num_layers = 0
        for part in self.own:
            part.place()
        return self

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, softcap: float | None
    ) -> Tensor:
        """Keep keys and values of a layer, and attend, see `Fed.attend`."""
        window, rows = self.windows[layer], len(query)
        # (1 h x d) -> (x h d), or (x h 1 d) of recurrent LLMs: views, where patterns of einops would take longer than
        # attention to a few keys does.
        key, value = key.transpose(1, 2).flatten(0, 1), value.transpose(1, 2).flatten(0, 1)
        laid = self.spread(query.transpose(1, 2).flatten(0, 1).unflatten(1, (key.shape[1], -1)))
        made, sums = joined([p.attend(layer, laid, key, value, scaling, softcap, window) for p in self.own])
        if self.shared:
            also = [p.attend(layer, laid, key, value, scaling, softcap, window) for p in self.shared]
            if self.alone:
                also.append(
                    (also[0][0].new_zeros(1, *laid.shape[1:]), also[0][1].new_full((1, *laid.shape[1:3]), LEAST))
                )
            made_too, sums_too = joined(also)
            if self.back is not None:
                made_too, sums_too = made_too[self.back], sums_too[self.back]
            # The share of a part is that of its sum of exponentials.
            share = torch.sigmoid(sums - sums_too).unsqueeze(-1)
            made = torch.lerp(made_too.float(), made.float(), share).to(value.dtype)
        tokens: Tensor = self.spread.undo(made).flatten(1, 2).unflatten(0, (rows, -1))
        return tokens


class Spread:
    """Tokens of questions, end to end or as many for each."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self.lengths, self.most = lengths, max(lengths)
        self.even = min(lengths) == self.most
        if not self.even:
            self.filled = self.index(device)
            real = [j * self.most + i for j, n in enumerate(lengths) for i in range(n)]
            self.real = torch.tensor(real, device=device)

    def index(self, device: torch.device) -> Tensor:
        """Number the tokens of each question, the last one again where it has fewer: (m s)."""
        if self.even:
            return torch.arange(len(self.lengths) * self.most, device=device).view(-1, self.most)
        first = accumulate(self.lengths, initial=0)
        of_each = [[f + min(i, n - 1) for i in range(self.most)] for f, n in zip(first, self.lengths, strict=False)]
        return torch.tensor(of_each, device=device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Spread tokens, and lay the query heads of a key head along them: (x h g d) -> (m h g*s d)."""
        if self.most == 1:
            return tokens
        spread = rearrange(tokens, "(m s) h g d -> m s h g d", s=self.most) if self.even else tokens[self.filled]
        return rearrange(spread, "m s h g d -> m h (g s) d")

    def undo(self, laid: Tensor) -> Tensor:
        """Lay tokens end to end again: (m h g*s d) -> (x h g d)."""
        if self.most == 1:
            return laid
        tokens = rearrange(laid, "m h (g s) d -> (m s) h g d", s=self.most)
        return tokens if self.even else tokens[self.real]


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
