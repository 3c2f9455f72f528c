"""Random causal LMs and tokenizers, small enough to build in a test."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from videollm.engines.packing import VISUAL

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE without merges: a token is a byte, so that a character may take several."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    made.add_tokens(["<think>", "</think>"])
    made.chat_template = TEMPLATE
    return made


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "vocab_size": 263,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "initializer_range": 0.3,
}
SLIDING = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}
RECURRENT = {"layer_types": ["linear_attention", "full_attention", "linear_attention"],
             "linear_num_key_heads": 2, "linear_num_value_heads": 4,
             "linear_key_head_dim": 8, "linear_value_head_dim": 8,
             "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1],
                                 "partial_rotary_factor": 1.0}}  # fmt: skip
LLMS = {
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen2-sliding": (Qwen2ForCausalLM, Qwen2Config, SLIDING),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {}),
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
    "mistral-sliding": (MistralForCausalLM, MistralConfig, {"sliding_window": 7}),
    "mixtral": (MixtralForCausalLM, MixtralConfig, {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3.5": (Qwen3_5ForCausalLM, Qwen3_5TextConfig, RECURRENT),
}


def llm(name: str = "qwen2", attention: str = "sdpa", **sizes: int) -> PreTrainedModel:
    torch.manual_seed(0)
    kind, config, own = LLMS[name]
    made = kind(config(**{**SIZES, **own, **sizes})).eval()
    made.set_attn_implementation(attention)
    return made


def clips(width: int, *sizes: tuple[int, int]) -> list[tuple[torch.Tensor, list[list[int]]]]:
    """A clip for each number of visual tokens and of questions, which are of unequal length."""
    g = torch.Generator().manual_seed(1)

    def text(n: int) -> list[int]:
        return torch.randint(0, 256, (n,), generator=g).tolist()

    def clip(n: int, questions: int) -> tuple[torch.Tensor, list[list[int]]]:
        prefix = [*text(3), *[VISUAL] * n, *text(1)]
        return torch.randn(n, width, generator=g), [[*prefix, *text(1 + 2 * k)] for k in range(questions)]

    return [clip(*size) for size in sizes]
