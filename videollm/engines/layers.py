"""Kinds of layers of an LLM, and the states of those that are recurrent (gated delta nets, arXiv:2412.06464).

A recurrent layer folds the tokens of a row into one state. Questions cannot share it as they share keys: each begins
with a copy of what the beginning that they share made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import LinearAttentionLayer

FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
RECURRENT: Final = "linear_attention"


def layer_kinds(llm: PreTrainedModel) -> set[str]:
    """List the kinds of layers of an LLM."""
    return set(kinds_by_layer(llm))


def kinds_by_layer(llm: PreTrainedModel) -> list[str]:
    """Return the kind of each layer of an LLM."""
    config = llm.config.get_text_config(decoder=True)
    only = SLIDING if getattr(config, "sliding_window", None) else FULL
    return list(getattr(config, "layer_types", None) or [only] * config.num_hidden_layers)


class States(DynamicCache):
    """States of recurrent layers, a row for each question; keys and values of the other layers are kept elsewhere."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep nothing."""
        return key_states, value_states

    @property
    def recurrent(self) -> list[LinearAttentionLayer]:
        """Layers that have states."""
        return [layer for layer in self.layers if isinstance(layer, LinearAttentionLayer)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was fed yet."""
        return not any(flag for layer in self.recurrent for flag in layer.is_conv_states_initialized.values())


def stack(parts: Sequence[States]) -> States:
    """Lay states below each other, in the first of them that holds any; an empty one is a row as layers begin with."""
    made = next((part for part in parts if not part.is_empty), parts[0])
    if made.is_empty or len(parts) == 1:
        return made
    for layer, *of_parts in zip(made.recurrent, *(part.recurrent for part in parts), strict=True):
        for name in ("conv_states", "recurrent_states"):
            states: dict[int, Tensor] = getattr(layer, name)
            held = [getattr(part, name) for part in of_parts]
            setattr(layer, name, {i: _cat([part[i] for part in held], like) for i, like in states.items()})
    return made


def _cat(rows: Sequence[Tensor | None], like: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(like[:1]) if row is None else row for row in rows])
