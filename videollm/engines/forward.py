"""One call of an LLM whose attention runs as what is fed says."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from videollm.engines.backbone import Backbone
from videollm.engines.cascade import Fed, feeding
from videollm.engines.layers import States
from videollm.errors import UserError


def forward(
    backbone: Backbone,
    fed: Fed,
    embeds: Tensor,
    positions: Tensor,
    states: States | None,
    keep: Tensor | int | None,
    **further: Any,
) -> Tensor:
    """Feed embeddings.

    Args:
        backbone: the LLM.
        fed: where their keys are kept, and what they attend to.
        embeds: (r s d).
        positions: (r s), or (3 r s).
        states: of recurrent layers.
        keep: columns of the tokens whose logits are wanted; 0 is all; None is hidden states in the place of logits.
        further: arguments of the LLM.
    Returns:
        (r k v), or hidden states (r s d).
    Raises:
        UserError: not all of the layers attended as `fed` says.
    """
    llm = backbone.llm
    inputs = {"inputs_embeds": embeds, "position_ids": positions, "attention_mask": None, **further}
    if states is not None:
        inputs["past_key_values"] = states
    with feeding(llm, fed):
        made: Tensor = (
            llm.base_model(**inputs, use_cache=states is not None).last_hidden_state
            if keep is None
            else llm(**inputs, use_cache=states is not None, logits_to_keep=keep).logits
        )
    if fed.num_layers != backbone.num_attending:
        raise UserError(
            f"{fed.num_layers} of the {backbone.num_attending} attention layers of {type(llm).__name__} "
            "attend through transformers' AttentionInterface; expected all. Use another engine."
        )
    return made
