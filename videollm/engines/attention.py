"""Attention to a part of the keys.

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
    query: Tensor,
    key: Tensor,
    value: Tensor,
    added: Tensor | None,
    scaling: float,
    softcap: float | None,
    *,
    all_see: bool = True,
) -> tuple[Tensor, Tensor]:
    """Attend to some of the keys.

    Args:
        query: (r h c d).
        key: (r h k d).
        value: (r h k d).
        added: (r c k) or (r 1 k) in float32, to the scores: -inf where a query may not attend; None is nothing.
        scaling: factor of the scores.
        softcap: bounds the scores, if given.
        all_see: whether every query has a key that it may attend to.
    Returns:
        (r h c d), and the logarithms of the sums of exponentials (r h c), in float32.
    """
    bias = None if added is None else added[:, None]
    if query.device.type == "cpu" and softcap is None and all_see and key.shape[-1] == value.shape[-1]:
        # One kernel, which never has all scores in memory; torch gives its sums under this name alone. It takes
        # 0.25 to 1 times as long as what follows.
        made, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, False, attn_mask=bias, scale=scaling
        )
        return made, sums
    scores = ((query * scaling) @ key.transpose(-1, -2)).float()
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if bias is not None:
        scores = scores.add_(bias)
    # A query may have no key in this part: its sum is then the least number, and the other part counts alone.
    largest = scores.amax(-1, keepdim=True).clamp_min_(LEAST)
    weights = scores.sub_(largest).exp_()
    total = weights.sum(-1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny)
    made = (weights.to(value.dtype) @ value) / total.to(value.dtype)
    return made, (largest + total.log())[..., 0]


def added_to(hidden: Tensor) -> Tensor:
    """Turn a mask of what is hidden into what is added to scores: 0 or -inf, in float32."""
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, -torch.inf)


def grouped(query: Tensor, key: Tensor) -> Tensor:
    """Lay the query heads that share a key head along the queries: (m h g*s d)."""
    return rearrange(query, "m (h g) s d -> m h (g s) d", h=key.shape[1])


def along(hidden: Tensor, num_queries: int) -> Tensor:
    """Repeat a mask (m s k) for the query heads that share a key head, up to that number of queries: (m g*s k)."""
    return hidden if hidden.shape[1] == 1 else repeat(hidden, "m s k -> m (g s) k", g=num_queries // hidden.shape[1])


def far(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Mark keys beyond a window of positions: (r c), (r k) -> (r c k)."""
    return queries[:, :, None] - keys[:, None, :] >= window


def joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Lay the results of parts below each other."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([made for made, _ in parts]), torch.cat([sums for _, sums in parts])
