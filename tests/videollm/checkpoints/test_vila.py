"""VILA1.5: what its folders say, what is refused, and its structure at full size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import videollm
from tests.support.official import copy, read_golden
from tests.support.paths import GOLDEN
from tests.videollm.checkpoints.test_structure import build, llm_names, read, shapes, tower_names
from videollm.checkpoints import vila
from videollm.checkpoints.names import causal_lm, vit
from videollm.errors import UserError
from videollm.models.config import ModelConfig

S2 = {"s2": True, "s2_scales": "384,768", "s2_max_split_size": 384}


def configure(values: dict[str, Any], **control: str) -> ModelConfig:
    parts = {part: read(f"VILA1.5-3B/{part}/config")[1] for part in ("llm", "vision_tower", "mm_projector")}
    added = {"added_tokens_decoder": {str(i): {"content": token} for i, token in enumerate(control.values())}}
    return vila.configure(Path("config.json"), values, parts, {}, added)


@pytest.mark.parametrize(("values", "millions"), [(S2, 30.17), ({}, 18.36)])
def test_structure_of_3b(values: dict[str, Any], millions: float) -> None:
    config = configure(values)
    model = build(config, "minigemini_tiny")
    of_tower = vit(27, -2)
    official = {name.removeprefix("vision_model.") for name in tower_names(27, "vision_model.", clip=False)}
    names = {causal_lm(name) for name in llm_names(32, "", biased=False)} | {of_tower(name) for name in official}
    names |= {f"connector.layers.{i}.{kind}" for i in (1, 2, 4) for kind in ("weight", "bias")}
    assert names - {None} == shapes(model).keys()
    assert of_tower("head.probe") is None
    assert round(sum(p.numel() for p in model.connector.parameters()) / 1e6, 2) == millions
    assert model.num_visual_tokens(8) == 1568
    assert model.transform.size == (768 if values else 384)


def test_prompt_of_llama_3_is_told_by_its_control_tokens() -> None:
    assert configure({}).prompt["template"].count("USER") == 1
    assert "<|start_header_id|>" in configure({}, head="<|start_header_id|>").prompt["template"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dynamic_s2": True}, "dynamic_s2, which NVILA writes"),
        ({"image_aspect_ratio": "pad"}, "image_aspect_ratio 'pad'; expected 'resize'"),
        ({"s2_scales": "74,111"}, "expected multiples of the vision tower's 74 pixels"),
    ],
)
def test_refuses_what_it_would_get_wrong(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        videollm.load(copy("vila_s2_tiny", tmp_path, **changes), device="cpu")


def test_a_part_without_weights_is_named(tmp_path: Path) -> None:
    folder = copy("vila_s2_tiny", tmp_path)
    (folder / "mm_projector" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"mm_projector/model\.safetensors is missing"):
        videollm.load(folder, device="cpu")


def test_s2_is_what_config_says(tmp_path: Path) -> None:
    folder = tmp_path / "vila"
    shutil.copytree(GOLDEN / "vila_s2_tiny", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "s2": False}))
    with pytest.raises(UserError, match=r"layers\.1\.weight of shape \(384,\), expected \(192,\)"):
        videollm.load(folder, device="cpu")


def test_gradients_reach_every_weight_of_the_tower() -> None:
    """The layers that do not run are not there; the official code lets none of the tower's weights learn under S2."""
    model = read_golden("vila_s2_tiny").model
    model.tower(torch.randn(1, 3, 148, 148)).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for n, p in model.tower.named_parameters() if "k_proj.bias" not in n)


def test_several_tiles_are_those_of_one_picture() -> None:
    tower = read_golden("vila_s2_tiny").model.tower
    pixels = torch.randn(2, 3, 148, 148)
    with torch.no_grad():
        assert torch.allclose(tower(pixels)[1], tower(pixels[1:])[0], atol=1e-5)
        assert tower(pixels).shape == (2, *tower.grid(148, 148), tower.width)
