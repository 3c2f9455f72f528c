"""Families in the layout of transformers at full size, on the meta device: names and shapes of its own classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

from tests.support.paths import GOLDEN
from tests.videollm.checkpoints.test_structure import read
from videollm.checkpoints import FAMILIES
from videollm.checkpoints.names import causal_lm
from videollm.checkpoints.options import Options
from videollm.checkpoints.transformers_layout import fixed_rope
from videollm.checkpoints.weights import without_weights
from videollm.models.composed import VideoLLM

QWEN25_05B = {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
              "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151674}  # fmt: skip
QWEN25_72B = {"model_type": "qwen2", "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80,
              "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 151674}  # fmt: skip
QWEN3_30B_A3B = {"model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48,
                 "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128,
                 "moe_intermediate_size": 768, "vocab_size": 151936}  # fmt: skip
VIT_300M = {"model_type": "internvl_vision", "attention_bias": True, "image_size": [448, 448], "patch_size": [14, 14]}
VIT_6B = {"model_type": "internvl_vision", "hidden_size": 3200, "intermediate_size": 12800, "num_hidden_layers": 45,
          "num_attention_heads": 25, "norm_type": "rms_norm", "use_qk_norm": True, "attention_bias": False}  # fmt: skip
SMOL_500M = {
    "model_type": "smolvlm", "scale_factor": 4,
    "vision_config": {"hidden_size": 768, "image_size": 512, "num_attention_heads": 12, "patch_size": 16},
    "text_config": {"model_type": "llama", "hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32,
                    "num_attention_heads": 15, "num_key_value_heads": 5, "vocab_size": 49280},
}  # fmt: skip
MINICPMV = {
    "image_size": 1120,
    "vision_config": {"hidden_size": 1152, "image_size": 980, "intermediate_size": 4304, "num_attention_heads": 16,
                      "num_hidden_layers": 27, "patch_size": 14},
    "text_config": {"model_type": "qwen3_5_text", "hidden_size": 1024, "intermediate_size": 3584,
                    "num_hidden_layers": 24, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256,
                    "linear_num_value_heads": 16, "vocab_size": 248320},
}  # fmt: skip
QWEN35_35B_A3B = {"model_type": "qwen3_5_moe_text", "hidden_size": 2048, "num_hidden_layers": 40,
                  "num_attention_heads": 16, "num_key_value_heads": 2, "num_experts": 256,
                  "vocab_size": 248320}  # fmt: skip
SIZES: dict[str, tuple[dict[str, Any], int, int]] = {
    "InternVL3-1B": ({"model_type": "internvl", "vision_config": VIT_300M, "text_config": QWEN25_05B}, 8, 2048),
    "InternVL3-78B": ({"model_type": "internvl", "vision_config": VIT_6B, "text_config": QWEN25_72B}, 8, 2048),
    "InternVL3.5-30B": ({"model_type": "internvl", "vision_config": VIT_300M, "text_config": QWEN3_30B_A3B}, 8, 2048),
    "InternVL3-8B-hf": (read("InternVL3-8B-hf")[1], 8, 2048),
    "LLaVA-OneVision-7B": (read("LLaVA-OneVision-7B")[1], 32, 6273),
    "LLaVA-NeXT-Video-7B": (read("LLaVA-NeXT-Video-7B")[1], 32, 32 * 144),
    "SmolVLM2-256M": (read("SmolVLM2-256M")[1], 64, 64 * 64),
    "SmolVLM2-500M": (SMOL_500M, 64, 64 * 64),
    "SmolVLM2-2.2B": (read("SmolVLM2-2.2B")[1], 64, 64 * 81),
    "VideoLLaMA3-7B": (read("VideoLLaMA3-7B")[1], 4, 4 * 144),
    "MiniCPM-V-4.6": ({"model_type": "minicpmv4_6", **MINICPMV}, 4, 4 * 64),
    "MiniCPM-V-4.6 by default": ({"model_type": "minicpmv4_6", "vision_config": {}, "text_config": {}}, 4, 4 * 49),
    "MiniCPM-V-4.7-1B": ({"model_type": "minicpmv4_7", **MINICPMV}, 4, 4 * 64),
    "MiniCPM-V-4.7-35B": ({"model_type": "minicpmv4_7", **MINICPMV, "text_config": QWEN35_35B_A3B}, 4, 4 * 64),
}  # fmt: skip
"""Name -> config.json, frames, and visual tokens of these."""


@pytest.mark.parametrize("name", SIZES)
def test_names_and_shapes_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    values, num_frames, num_tokens = SIZES[name]
    values = {**values, "tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(values))
    family: Any = FAMILIES.load(values["model_type"])
    config = family.read_config(tmp_path, Options(name=str(tmp_path)))
    shutil.copy(GOLDEN / "internvl3_tiny" / "model.safetensors", tmp_path)
    (source,) = family.sources(tmp_path, config)
    llm = AutoConfig.for_model(**config.llm)
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "internvl3_tiny", config=llm, local_files_only=True)
    with torch.device("meta"), without_weights():
        model = VideoLLM(config, tokenizer, name)
        official = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**values))
    made = {k: v.shape for k, v in model.state_dict().items()}
    expected = {target: v.shape for k, v in official.state_dict().items() if (target := source.rename(k)) is not None}
    assert made == expected
    assert model.num_visual_tokens(num_frames) == num_tokens


def test_experts_are_laid_end_to_end() -> None:
    for part, whole in (("gate", "gate_up"), ("up", "gate_up"), ("down", "down")):
        name = f"model.layers.2.mlp.experts.11.{part}_proj.weight"
        assert causal_lm(name) == f"llm.model.layers.2.mlp.experts.{whole}_proj"


def test_dynamic_scaling_of_rotary_frequencies_is_left_out() -> None:
    plain = {"max_position_embeddings": 32768, "rope_theta": 1e6}
    assert fixed_rope({**plain, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}) == plain
    later = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e6}
    assert fixed_rope({"max_position_embeddings": 32768, "rope_parameters": later}) == plain
    linear = {**plain, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    assert fixed_rope(linear) == linear
