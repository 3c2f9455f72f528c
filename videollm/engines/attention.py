"""Attention of few new tokens to many keys, for LLMs whose query heads share key heads (GQA, arXiv:2305.13245).

PyTorch's kernels take no grouped keys beside a mask, so transformers repeats keys and values for every query head, in
each layer of each step: on an H100 that took half of a step's time. Here the query heads that share a key head are laid
along the queries instead, and the keys stay as they lie in the cache.

SHAPES  r rows, s tokens fed, k keys in the cache, h key heads, g query heads per key head, d width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED: Final = "videollm_grouped"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' `sdpa` does, without copies of keys and values.

    Args:
        module: the attention layer.
        query: (r h*g s d).
        key: (r h k d).
        value: (r h k d).
        attention_mask: (r 1 s k), what a query may attend to; None is causal, and left to transformers.
        dropout: of weights, likewise left to transformers unless 0.
        scaling: factor of the scores.
        options: further arguments of transformers' layers.
    Returns:
        (r s h*g d), and no weights.
    """
    g = query.shape[1] // key.shape[1]
    if attention_mask is None or g == 1 or dropout:
        made, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return made, None
    made = scaled_dot_product_attention(
        rearrange(query, "r (h g) s d -> r h (g s) d", g=g),
        key,
        value,
        attn_mask=repeat(attention_mask, "r one s k -> r one (g s) k", g=g),
        scale=scaling,
    )
    return rearrange(made, "r h (g s) d -> r s (h g) d", g=g), None


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


@contextmanager
def grouped(llm: PreTrainedModel) -> Iterator[None]:
    """Let an LLM of `sdpa` attention attend with `grouped_attention` in a block of code."""
    config = llm.config.get_text_config(decoder=True)
    before = config._attn_implementation
    if before == "sdpa":
        config._attn_implementation = GROUPED
    try:
        yield
    finally:
        config._attn_implementation = before
