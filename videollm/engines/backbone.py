"""An LLM, with what must be known of its layers to feed it."""

from __future__ import annotations

from inspect import signature
from typing import Final

from torch import nn
from transformers import PreTrainedModel

from videollm.engines.layers import FULL, RECURRENT, SLIDING, kinds_by_layer
from videollm.errors import UserError

NEEDED: Final = {"inputs_embeds", "attention_mask", "position_ids", "past_key_values", "logits_to_keep"}


class Backbone:
    """An LLM whose prompts can share what they begin with.

    Raises:
        UserError: they cannot; the message says why.
    """

    def __init__(self, llm: PreTrainedModel) -> None:
        check(llm)
        self.llm = llm
        embedding = llm.get_input_embeddings()
        assert isinstance(embedding, nn.Embedding)
        self.embedding = embedding
        kinds, window = kinds_by_layer(llm), getattr(llm.config.get_text_config(decoder=True), "sliding_window", None)
        self.windows: list[int | None] = [window if kind == SLIDING else None for kind in kinds]
        """For each layer the tokens that a query reaches back; None is all."""
        self.recurrent = RECURRENT in kinds
        self.num_attending = sum(kind != RECURRENT for kind in kinds)
        """Layers with attention."""


def check(llm: PreTrainedModel) -> None:
    """Check that prompts of an LLM can share what they begin with; its weights need not be loaded yet.

    Raises:
        UserError: they cannot; the message says why.
    """
    if missing := NEEDED - set(signature(llm.forward).parameters):
        raise UserError(f"{type(llm).__name__}.forward takes no {sorted(missing)}. Use a decoder-only attention LM.")
    kinds = set(kinds_by_layer(llm))
    if not (kinds <= {FULL, SLIDING} or kinds <= {FULL, RECURRENT}):
        raise UserError(f"LLM has layers of {sorted(kinds)}; expected {FULL} with {SLIDING} or {RECURRENT} only.")
