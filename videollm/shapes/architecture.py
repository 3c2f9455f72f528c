"""The embedded models before training: a small SigLIP, a connector and a small Qwen3, all with new weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from videollm.models.composed import VideoLLM
from videollm.models.config import ModelConfig
from videollm.prompts.question import format_question
from videollm.shapes.stories import CAPTION_PROMPTS, tell

NOTICE: Final = (
    "This embedded model knows coloured shapes only. For real footage name a checkpoint with --model, "
    "such as HuggingFaceTB/SmolVLM2-256M-Video-Instruct on a laptop or Qwen/Qwen2.5-VL-7B-Instruct on a GPU."
)
VISION: Final[dict[str, Any]] = {
    "kind": "siglip",
    "select_layer": -1,
    "config": {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 48,
        "patch_size": 8,
    },
}
CONNECTORS: Final[dict[str, dict[str, Any]]] = {
    "stc": {"depth": 1, "variant": "stc_connector_v35"},
    "resampler3d": {"num_queries": 9, "frames_per_pack": 2, "num_heads": 4},
}
"""Settings of connectors that suit models this small; other connectors take their own defaults."""
TEMPLATE: Final = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Build a byte-level BPE in which every word of the stories is one token, and any other text has tokens too."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        _texts(),
        trainers.BpeTrainer(
            vocab_size=640,
            special_tokens=["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|end|>", pad_token="<|end|>", chat_template=TEMPLATE
    )


def _texts() -> Iterator[str]:
    yield from CAPTION_PROMPTS
    for seed in range(3000):
        story = tell(f"vocabulary/{seed}")
        yield story.caption
        for question in story.questions:
            yield question.text
            yield question.answer
            yield format_question(question.text, question.choices)


def build(connector: str, seed: int, **connector_config: Any) -> VideoLLM:
    """Build an embedded model with new weights, the same for the same seed."""
    torch.manual_seed(seed)
    words = tokenizer()
    llm = {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "vocab_size": len(words),
        "hidden_size": 128,
        "intermediate_size": 320,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "eos_token_id": words.eos_token_id,
        "bos_token_id": None,
    }
    config = ModelConfig(
        vision=VISION,
        connector={"name": connector, "config": {**CONNECTORS.get(connector, {}), **connector_config}},
        llm=llm,
        transform={"size": 48, "mode": "squash", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        sampling={"policy": "segment_centers", "num_frames": 8},
        generation={"max_new_tokens": 64},
        notice=NOTICE,
    )
    return VideoLLM(config, words, name="scratch")
