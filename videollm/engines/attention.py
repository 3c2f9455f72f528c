"""Attention to a part of the keys, in plain torch.

SHAPES  m or r rows, s tokens of a row, h key heads, g query heads per key head, c queries laid together, k keys, d the
width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from einops import rearrange, repeat
from torch import Tensor

LEAST: Final = torch.finfo(torch.float32).min


def attend_to(
    query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None, scaling: float, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """Attend to some of the keys.

    Args:
        query: (r h c d).
        key: (r h k d).
        value: (r h k d).
        hidden: (r c k) or (r 1 k), what a query may not attend to; None is nothing.
        scaling: factor of the scores.
        softcap: bounds the scores, if given.
    Returns:
        (r h c d), and the logarithms of the sums of exponentials (r h c 1), in float32.
    """
    scores = ((query * scaling) @ key.transpose(-1, -2)).float()
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if hidden is not None:
        scores = scores.masked_fill_(hidden[:, None], -torch.inf)
    # A query may have no key in this part: its sum is then the least number, and the other part counts alone.
    largest = scores.amax(-1, keepdim=True).clamp_min_(LEAST)
    weights = scores.sub_(largest).exp_()
    total = weights.sum(-1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny)
    made = (weights.to(value.dtype) @ value) / total.to(value.dtype)
    return made, largest + total.log()


def grouped(query: Tensor, key: Tensor) -> Tensor:
    """Lay the query heads that share a key head along the queries: (m h g*s d)."""
    return rearrange(query, "m (h g) s d -> m h (g s) d", h=key.shape[1])


def along(hidden: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Repeat a mask (m s k) for the query heads that share a key head."""
    return repeat(hidden, "m s k -> m (g s) k", g=query.shape[1] // key.shape[1])


def far(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Mark keys beyond a window of positions: (r c), (r k) -> (r c k)."""
    return queries[:, :, None] - keys[:, None, :] >= window


def joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Lay the results of parts below each other."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([made for made, _ in parts]), torch.cat([sums for _, sums in parts])
