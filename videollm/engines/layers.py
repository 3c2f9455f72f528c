"""Kinds of layers of an LLM, and caches of those that are recurrent (gated delta nets, arXiv:2412.06464).

A recurrent layer folds the tokens of a row into one state. Questions cannot share it as they share keys: each needs a
copy, in a row of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import LinearAttentionLayer

FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
RECURRENT: Final = "linear_attention"


def layer_kinds(llm: PreTrainedModel) -> set[str]:
    """List the kinds of layers of an LLM."""
    config = llm.config.get_text_config(decoder=True)
    only = SLIDING if getattr(config, "sliding_window", None) else FULL
    return set(getattr(config, "layer_types", None) or [only])


def stack(caches: Sequence[DynamicCache]) -> DynamicCache:
    """Lay caches of one row each below each other, in the longest of them.

    Keys and values are filled up on the right. A cache that holds nothing yet becomes zeros, as layers begin with.
    """
    longest = max(caches, key=lambda cache: cache.get_seq_length())
    width = longest.get_seq_length()
    for layer, *rows in zip(longest.layers, *(cache.layers for cache in caches), strict=True):
        if isinstance(layer, LinearAttentionLayer):
            for states in ("conv_states", "recurrent_states"):
                of_rows = [getattr(row, states) for row in rows]
                made = {i: _cat([row[i] for row in of_rows], state) for i, state in getattr(layer, states).items()}
                setattr(layer, states, made)
        elif width:
            for name in ("keys", "values"):
                none = getattr(layer, name)[..., :0, :]
                of_rows = [none if getattr(row, name) is None else getattr(row, name) for row in rows]
                setattr(layer, name, torch.cat([pad(row, (0, 0, 0, width - row.shape[-2])) for row in of_rows]))
    return longest


def _cat(rows: Sequence[Tensor | None], like: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(like) if row is None else row for row in rows])
