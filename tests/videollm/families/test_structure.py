"""Names and shapes of every family at full size, on the meta device, against the names that are published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.support.paths import GOLDEN
from videollm.checkpoints import qwen2vl, qwen3vl
from videollm.checkpoints.weights import without_weights
from videollm.models.composed import VideoLLM
from videollm.models.config import ModelConfig

WB = ("weight", "bias")


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What is known of a published model's weights."""

    configure: Callable[[Path, dict[str, Any]], ModelConfig]
    """From config.json at its path."""
    rename: Callable[[str], Any]
    names: Callable[[dict[str, Any]], Iterable[str]]
    """Published names, from config.json."""
    shapes: dict[str, tuple[int, ...]]
    """Of some of our names."""
    billions: float
    """Parameters."""
    tokens: dict[tuple[int, int, int], int]
    """(frames, height, width) -> visual tokens."""


def names(prefix: str, *parts: Iterable[str]) -> set[str]:
    """All combinations of parts, joined by dots."""
    return {prefix + ".".join(map(str, combination)) for combination in product(*parts)}


def llm(
    prefix: str, num_layers: int, *, biased: bool = False, normed: bool = False, head: str = "lm_head."
) -> set[str]:
    """Names of a Llama-like LLM."""
    layers = map(str, range(num_layers))
    weights = [f"self_attn.{p}_proj.weight" for p in "qkvo"] + [f"mlp.{p}_proj.weight" for p in ("gate", "up", "down")]
    weights += ["input_layernorm.weight", "post_attention_layernorm.weight"]
    weights += [f"self_attn.{p}_proj.bias" for p in "qkv"] if biased else []
    weights += ["self_attn.q_norm.weight", "self_attn.k_norm.weight"] if normed else []
    return names(f"{prefix}layers.", layers, weights) | {f"{prefix}embed_tokens.weight", f"{prefix}norm.weight",
                                                         "lm_head.weight"}  # fmt: skip


def _qwen25(values: dict[str, Any]) -> set[str]:
    blocks = [*product(("attn.qkv", "attn.proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"), WB)]
    blocks += [("norm1", "weight"), ("norm2", "weight")]
    visual = {f"visual.blocks.{i}.{n}.{k}" for i in range(values["vision_config"]["depth"]) for n, k in blocks}
    visual |= {"visual.patch_embed.proj.weight", "visual.merger.ln_q.weight"}
    return visual | names("visual.merger.mlp.", "02", WB) | llm("model.", values["num_hidden_layers"], biased=True)


def _qwen2(values: dict[str, Any]) -> set[str]:
    depth = map(str, range(values["vision_config"]["depth"]))
    visual = names("visual.blocks.", depth, ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2"), WB)
    visual |= names("visual.merger.", ("ln_q", "mlp.0", "mlp.2"), WB) | {"visual.patch_embed.proj.weight"}
    return visual | llm("model.", values["num_hidden_layers"], biased=True)


def _qwen3(values: dict[str, Any]) -> set[str]:
    vision, parts = values["vision_config"], ("norm", "linear_fc1", "linear_fc2")
    of_block = ("attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2", "norm1", "norm2")
    visual = names("model.visual.blocks.", map(str, range(vision["depth"])), of_block, WB)
    visual |= names("model.visual.merger.", parts, WB) | names("model.visual.deepstack_merger_list.", "012", parts, WB)
    visual |= {"model.visual.pos_embed.weight"} | names("model.visual.patch_embed.proj.", WB)
    return visual | llm("model.language_model.", values["text_config"]["num_hidden_layers"], normed=True)


STRUCTURES: Final = {
    "Qwen2-VL-7B-Instruct": Structure(
        configure=lambda file, values: qwen2vl.configure(file, values, {}, {}),
        rename=qwen2vl.rename,
        names=_qwen2,
        shapes={"connector.mlp.0.weight": (5120, 5120), "tower.patch_embed.proj.weight": (1280, 3, 2, 14, 14)},
        billions=8.29,
        tokens={(16, 720, 1280): 8 * 20 * 36},
    ),
    "Qwen2.5-VL-7B-Instruct": Structure(
        configure=lambda file, values: qwen2vl.configure(file, values, {}, {}),
        rename=qwen2vl.rename,
        names=_qwen25,
        shapes={"connector.mlp.2.weight": (3584, 5120), "tower.blocks.31.mlp.gate_proj.weight": (3420, 1280)},
        billions=8.29,
        tokens={(2, 720, 1280): 720, (120, 360, 640): 60 * 13 * 23},
    ),
    "Qwen3-VL-8B-Instruct": Structure(
        configure=lambda file, values: qwen3vl.configure(file, values, {}, {}),
        rename=qwen3vl.rename,
        names=_qwen3,
        shapes={"connector.deepstack_merger_list.2.linear_fc2.weight": (4096, 4608),
                "tower.pos_embed.weight": (2304, 1152)},
        billions=8.77,
        tokens={(2, 720, 1280): 22 * 40},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_names_and_shapes_are_the_published_ones(name: str) -> None:
    case = STRUCTURES[name]
    file = GOLDEN / "configs" / f"{name}.json"
    values = json.loads(file.read_text())
    config = case.configure(file, values)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDEN / "qwen25vl_tiny")
    with torch.device("meta"), without_weights():
        model = VideoLLM(config, tokenizer, name)
    made = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert {case.rename(n) for n in case.names(values)} == made.keys()
    for target, shape in case.shapes.items():
        assert made[target] == shape
    assert round(sum(p.numel() for p in model.parameters()) / 1e9, 2) == case.billions
    for clip, expected in case.tokens.items():
        assert model.num_visual_tokens(*clip) == expected
