"""Layouts of weights, other connectors, types and devices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import MixtralConfig, MixtralForCausalLM

import videollm
from tests.support.official import Golden, copy, rewrite
from videollm import VideoLLM
from videollm.types import FrameBatch, Generation

VIDEOLLAMA2, MINICPMV = "videollama2_tiny", "minicpmv45_tiny"
TOWER = "model.vision_tower.vision_tower."


def frames(num_frames: int = 8, height: int = 120, width: int = 160) -> FrameBatch:
    noise = np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)
    index = tuple(range(num_frames))
    return FrameBatch(frames=noise, indices=index, seconds=tuple(float(i) for i in index), packing=3)


def same(model: VideoLLM, other: VideoLLM) -> bool:
    weights, others = model.state_dict(), other.state_dict()
    return weights.keys() == others.keys() and all(torch.equal(v, others[k]) for k, v in weights.items())


def split(folder: Path, suffix: str, num_shards: int = 3) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    placed = {}
    for i in range(num_shards):
        name = f"{stem}-{i + 1:05}-of-{num_shards:05}.{suffix}"
        part = dict(list(weights.items())[i::num_shards])
        save_file(part, folder / name) if suffix == "safetensors" else torch.save(part, folder / name)
        placed |= dict.fromkeys(part, name)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": placed}))


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards(golden: Golden, tmp_path: Path, suffix: str) -> None:
    folder = copy(golden.folder.name, tmp_path)
    split(folder, suffix)
    assert same(videollm.load(folder, device="cpu"), golden.model)


def test_bin_of_old_torch(videollama2: Golden, tmp_path: Path) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert same(videollm.load(folder, device="cpu"), videollama2.model)


def base(folder: Path, llm: Path) -> None:
    """Take a checkpoint apart as the official "Base" repositories are: projector, LLM and tower by themselves."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts: dict[str, dict[str, Tensor]] = {"projector": {}, "llm": {}, "tower": {}}
    for name, value in weights.items():
        kind = "projector" if "mm_projector" in name else "tower" if name.startswith(TOWER) else "llm"
        parts[kind][name] = value
    torch.save(parts["projector"], folder / "mm_projector.bin")
    save_file(parts["llm"], llm / "model.safetensors")
    tower = {k.removeprefix(TOWER): v for k, v in parts["tower"].items()} | {"logit_scale": torch.zeros(())}
    save_file(tower, folder / "vision_tower" / "model.safetensors")


@pytest.mark.parametrize("beside", [True, False])
def test_base_repositories(videollama2: Golden, tmp_path: Path, beside: bool) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path, _name_or_path="../llm", tune_mm_mlp_adapter=True)
    (tmp_path / "llm").mkdir()
    base(folder, folder if beside else tmp_path / "llm")
    assert same(videollm.load(folder, device="cpu"), videollama2.model)


def test_a_tower_elsewhere_by_its_path(videollama2: Golden, tmp_path: Path) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path, mm_vision_tower=str(tmp_path / "tower"))
    (folder / "vision_tower").rename(tmp_path / "tower")
    assert same(videollm.load(folder, device="cpu"), videollama2.model)


def test_mixtral_experts_are_those_of_transformers(tmp_path: Path) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path, model_type="videollama2_mixtral", num_local_experts=3, num_experts_per_tok=2)

    def experts(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        kept = {k: v for k, v in weights.items() if ".mlp." not in k or not k.startswith("model.layers")}
        torch.manual_seed(0)
        for layer in range(2):
            moe = f"model.layers.{layer}.block_sparse_moe"
            kept[f"{moe}.gate.weight"] = torch.randn(3, 64)
            for e in range(3):
                for w, shape in (("w1", (96, 64)), ("w2", (64, 96)), ("w3", (96, 64))):
                    kept[f"{moe}.experts.{e}.{w}.weight"] = torch.randn(shape) / 8
        return kept

    rewrite(folder, experts)
    split(folder, "safetensors")
    model = videollm.load(folder, device="cpu")
    plain = tmp_path / "plain"
    plain.mkdir()
    weights: dict[str, Tensor] = {}
    for shard in folder.glob("*.safetensors"):
        weights |= {k: v for k, v in load_file(shard).items() if "mm_projector" not in k and "vision_tower" not in k}
    save_file(weights, plain / "model.safetensors", {"format": "pt"})
    config = {k: v for k, v in model.config.llm.items() if k != "model_type"}
    MixtralConfig(**config, architectures=["MixtralForCausalLM"]).save_pretrained(plain)
    reference = MixtralForCausalLM.from_pretrained(plain)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        assert torch.allclose(model.llm(input_ids=ids).logits, reference(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize("name", [VIDEOLLAMA2, MINICPMV])
def test_another_connector(tmp_path: Path, name: str) -> None:
    model = videollm.load(copy(name, tmp_path), device="cpu", connector="group_mean")
    assert "group_mean is untrained" in str(model.notice)
    batch = frames()
    (visual,) = model.encode([batch])
    assert sum(isinstance(part, int) for part in visual.layout) == 1
    assert len(visual.tokens) == model.num_visual_tokens(8, 120, 160, packing=3)
    assert model.answer(visual, "Why?", generation=Generation(max_new_tokens=2)).text is not None


def test_a_connectors_own_weights(videollama2: Golden, tmp_path: Path) -> None:
    first = videollm.load(videollama2.folder, device="cpu", connector="group_mean")
    save_file(first.connector.state_dict(), tmp_path / "connector.safetensors")
    first.save(tmp_path / "model")
    for weights in (tmp_path / "connector.safetensors", tmp_path / "model"):
        again = videollm.load(videollama2.folder, device="cpu", connector="group_mean", connector_weights=weights)
        assert again.notice is None
        assert same(first, again)


def test_the_own_connector_by_name_keeps_its_weights(videollama2: Golden) -> None:
    assert same(videollm.load(videollama2.folder, device="cpu", connector="stc"), videollama2.model)


@pytest.mark.parametrize("dtype", ["bfloat16", "config"])
def test_types(golden: Golden, dtype: str) -> None:
    model = videollm.load(golden.folder, device="cpu", dtype=dtype)
    expected = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    assert {p.dtype for p in model.parameters()} == {expected}
    buffers = [b for n, b in model.named_buffers() if "inv_freq" in n]
    assert buffers
    assert all(b.dtype == torch.float32 for b in buffers)
    assert not any(t.is_meta for t in (*model.parameters(), *model.buffers()))
    assert model.encode([frames()])[0].tokens.dtype == expected


def test_thinking_and_defaults(minicpmv: Golden) -> None:
    thinking = videollm.load(minicpmv.folder, device="cpu", thinking=True)
    assert thinking.prompt("Why?", 64)[1].endswith("<|im_start|>assistant\n<think>\n")
    assert minicpmv.model.prompt("Why?", 64)[1].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    expected = Generation(max_new_tokens=2048, temperature=0.7, top_p=0.8, top_k=100, repetition_penalty=1.03)
    assert minicpmv.model.generation == expected
    assert thinking.generation.repetition_penalty == 1
    assert minicpmv.model.llm.generation_config.eos_token_id == [258, 256]


def test_token_zero_is_a_token_like_others(minicpmv: Golden) -> None:
    ids, _ = minicpmv.model.prompt("!!", 64)
    assert ids.count(0) == 2
    visual = minicpmv.model.encode([frames()])[0]
    one, two = (minicpmv.model.answer(visual, q, generation=Generation(max_new_tokens=8)) for q in ("!a", "a"))
    assert (one.prompt, one.text) != (two.prompt, two.text)


def test_a_video_as_one_copy_of_an_image(videollama2: Golden, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(frames().frames[0]).save(tmp_path / "image.png")
    batch = videollama2.model.decode(tmp_path / "image.png")
    assert len(batch.frames) == 8
    assert batch.still
    assert len(videollama2.model.encode([batch])[0].tokens) == 125
