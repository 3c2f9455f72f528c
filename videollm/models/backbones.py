"""LLMs by their transformers config; text models that transformers offers without a head get one."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    Cache,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from videollm.models.rotary import StoredRotary

HEADLESS: Final = ("qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text")
"""`model_type` of text models that AutoModel knows, and AutoModelForCausalLM does not."""
STORED_FREQUENCIES: Final = "stored_frequencies"
"""Field of an LLM's config: the frequencies of its rotary embedding are weights (`rotary.StoredRotary`)."""


def build_llm(config: PretrainedConfig) -> PreTrainedModel:
    """Build a causal LM with new weights."""
    if config.model_type in HEADLESS:
        made: PreTrainedModel = TextLM._from_config(config, attn_implementation="sdpa")  # type: ignore[no-untyped-call]
        made.generation_config = GenerationConfig.from_model_config(config)
    else:
        made = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    if getattr(config, STORED_FREQUENCIES, False):
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        made.model.rotary_emb = StoredRotary(width, config.rope_parameters["rope_theta"])
    return made


class TextLM(PreTrainedModel):
    """The text model of a vision-language model, with its head."""

    base_model_prefix = "model"
    _supports_sdpa = True
    _supports_attention_backend = True
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012
    _tp_plan = {"lm_head": "colwise_gather_output"}  # noqa: RUF012

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.model = AutoModel.from_config(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        self.model._init_weights(module)

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        attention_mask: Tensor | dict[str, Tensor] | None = None,
        past_key_values: Cache | None = None,
        logits_to_keep: int | Tensor = 0,
        **further: Any,
    ) -> CausalLMOutputWithPast:
        """Compute the logits of the last `logits_to_keep` tokens (0 is all), or of these columns; see transformers."""
        made = self.model(
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            **further,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(made.last_hidden_state[:, kept])
        return CausalLMOutputWithPast(logits=logits, past_key_values=made.past_key_values)
