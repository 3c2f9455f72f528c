"""Names and shapes at full size, on the meta device, against the published lists and the rules of the official code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tests.support.official import GOLDEN, copy
from videollm.checkpoints import minicpmv, towers, videollama2
from videollm.checkpoints.weights import without_weights
from videollm.models.composed import VideoLLM
from videollm.models.config import ModelConfig

CONFIGS = GOLDEN / "configs"
"""What config.json of the published models says of their structure; benchmarks/ and docs/generated.py read it too."""


def read(name: str) -> tuple[Path, dict[str, Any]]:
    file = CONFIGS / f"{name}.json"
    return file, json.loads(file.read_text())


def build(config: ModelConfig, tokenizer_of: str = "minicpmv45_tiny") -> VideoLLM:
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / tokenizer_of, config=_llm(config), local_files_only=True)
    with torch.device("meta"), without_weights():
        return VideoLLM(config, tokenizer, "full size")


def _llm(config: ModelConfig) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(**config.llm)


def shapes(model: VideoLLM) -> dict[str, tuple[int, ...]]:
    assert all(p.is_meta for p in model.parameters())
    return {k: tuple(v.shape) for k, v in model.state_dict().items()}


def tower_names(num_layers: int, prefix: str, *, clip: bool) -> set[str]:
    of_layer = [f"self_attn.{p}_proj" for p in ("q", "k", "v", "out")]
    of_layer += ["layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"]
    names = {f"encoder.layers.{i}.{m}.{k}" for i in range(num_layers) for m in of_layer for k in ("weight", "bias")}
    names |= {"embeddings.patch_embedding.weight", "embeddings.position_embedding.weight"}
    names |= {"post_layernorm.weight", "post_layernorm.bias"}
    names |= {"embeddings.class_embedding", "pre_layrnorm.weight", "pre_layrnorm.bias"} if clip else set()
    return {prefix + n for n in names | (set() if clip else {"embeddings.patch_embedding.bias"})}


def llm_names(num_layers: int, prefix: str, *, biased: bool) -> set[str]:
    of_layer = [f"self_attn.{p}_proj.weight" for p in "qkvo"] + [f"mlp.{p}_proj.weight" for p in ("gate", "up", "down")]
    of_layer += ["input_layernorm.weight", "post_attention_layernorm.weight"]
    of_layer += [f"self_attn.{p}_proj.bias" for p in "qkv"] if biased else []
    names = {f"model.layers.{i}.{n}" for i in range(num_layers) for n in of_layer}
    return {prefix + n for n in names | {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}}


def stc_names() -> set[str]:
    norm = ("conv.weight", "bn.weight", "bn.bias")
    block = [f"conv{i}.{n}" for i in (1, 2, 3) for n in norm]
    block += [f"se.fc{i}.{n}" for i in (1, 2) for n in ("weight", "bias")]
    names = {f"s{s}.b{b}.{n}" for s in (1, 2) for b in (1, 2, 3, 4) for n in block}
    names |= {f"s1.b1.downsample.{n}" for n in norm}
    names |= {f"{m}.{n}" for m in ("sampler.0", "readout.0", "readout.2") for n in ("weight", "bias")}
    return {f"model.mm_projector.{n}" for n in names}


RESAMPLER = {"query", "proj", "kv_proj.weight", "attn.in_proj_weight", "attn.in_proj_bias"} | {
    f"{m}.{n}" for m in ("attn.out_proj", "ln_q", "ln_kv", "ln_post") for n in ("weight", "bias")
}


@pytest.mark.parametrize(
    ("name", "millions", "tokens"), [("VideoLLaMA2-7B", 489.2, 845), ("VideoLLaMA2.1-7B-16F", 376.9, 1352)]
)
def test_videollama2(name: str, millions: float, tokens: int) -> None:
    file, values = read(name)
    tower = towers.TOWERS[values["mm_vision_tower"]]
    config = videollama2.configure(file, values, tower)
    model = build(config)
    made = shapes(model)
    is_clip = config.vision["kind"] == "clip"
    names = tower_names(tower["num_hidden_layers"], videollama2.TOWER, clip=is_clip) | stc_names()
    names |= llm_names(values["num_hidden_layers"], "", biased=not is_clip)
    rename = videollama2.renamer(config, tower["num_hidden_layers"])
    used = {n: t for n in names if (t := rename(n)) is not None}
    assert set(used.values()) == made.keys()
    last = tower["num_hidden_layers"] - 1
    assert {n.removeprefix(videollama2.TOWER) for n in names - used.keys()} == {
        n.removeprefix(videollama2.TOWER)
        for n in names
        if f"encoder.layers.{last}." in n or (n.startswith(videollama2.TOWER) and "post_layernorm" in n)
    }
    d = values["hidden_size"]
    assert made["connector.sampler.0.weight"] == (d, d, 2, 2, 2)
    assert made["connector.s1.b1.se.fc1.weight"][0] == round(values["mm_hidden_size"] / 4)
    assert made["llm.model.embed_tokens.weight"] == (values["vocab_size"], d)
    assert round(sum(p.numel() for p in model.connector.parameters()) / 1e6, 1) == millions
    assert model.num_visual_tokens(values["num_frames"]) == tokens


def test_minicpmv_4_5_has_the_published_names() -> None:
    published = (GOLDEN / "minicpmv45_weight_names.txt").read_text().split()
    model = build(minicpmv.configure(*read("MiniCPM-V-4_5"), {}, {}))
    made = shapes(model)
    assert {minicpmv.rename(n) for n in published} == made.keys()
    assert len(published) == len(made) == 849
    assert made["tower.model.embeddings.position_embedding.weight"] == (4900, 1152)
    assert made["connector.kv_proj.weight"] == (4096, 1152)
    assert model.connector.attn.num_heads == 32  # type: ignore[union-attr]


def test_minicpmv_2_6() -> None:
    model = build(minicpmv.configure(*read("MiniCPM-V-2_6"), {}, {}))
    names = tower_names(27, "vpm.", clip=False) | {f"resampler.{n}" for n in RESAMPLER}
    names |= llm_names(28, "llm.", biased=True)
    assert {minicpmv.rename(n) for n in names} == shapes(model).keys()
    assert model.connector.attn.num_heads == 28  # type: ignore[union-attr]
    assert model.num_visual_tokens(64, 720, 1280) == 64 * 3 * 64
    assert model.generation.repetition_penalty == 1.05
    assert (model.sampling.policy, model.sampling.num_frames) == ("fps_stride", 64)


def test_buffers_that_no_checkpoint_holds_are_real() -> None:
    file, values = read("VideoLLaMA2.1-7B-16F")
    tower = towers.TOWERS[values["mm_vision_tower"]]
    config = videollama2.configure(file, {**values, "num_hidden_layers": 1}, tower)
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "minicpmv45_tiny", config=_llm(config), local_files_only=True)
    with without_weights():
        model = VideoLLM(config, tokenizer, "one layer")
    assert all(p.is_meta for p in model.parameters())
    expected = 1 / 1e6 ** (torch.arange(0, 128, 2) / 128)
    assert torch.allclose(model.llm.model.rotary_emb.inv_freq, expected)
    assert model.tower.model.embeddings.position_ids.tolist() == [list(range(729))]


def test_a_hub_id_of_a_published_tower_needs_no_file(tmp_path: Path) -> None:
    folder = copy("videollama2_tiny", tmp_path, mm_vision_tower="openai/clip-vit-large-patch14-336")
    found, config = towers.find_tower(folder, json.loads((folder / "config.json").read_text()))
    assert found is None
    assert config["image_size"] == 336
