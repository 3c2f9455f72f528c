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

LLAMA_3_8B = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8,
              "vocab_size": 128256}  # fmt: skip
LLAMA_13B = {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40}
QWEN2_7B = {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151651}  # fmt: skip
NVILA: dict[str, Any] = {
    "image_encoder": {"_target_": "llava.model.encoders.BasicImageEncoder"},
    "video_encoder": '{"_target_": "llava.model.encoders.BasicVideoEncoder"}',
    "image_aspect_ratio": "dynamic_s2",
    "s2": False,
}
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


@pytest.mark.parametrize("llm", [LLAMA_3_8B, LLAMA_13B])
def test_structure_of_larger_llms(llm: dict[str, Any]) -> None:
    parts = {part: read(f"VILA1.5-3B/{part}/config")[1] for part in ("llm", "vision_tower", "mm_projector")}
    parts["llm"] = {**parts["llm"], **llm}
    config = vila.configure(Path("config.json"), {}, parts, {}, {})
    made = shapes(build(config, "minigemini_tiny"))
    names = {causal_lm(name) for name in llm_names(parts["llm"]["num_hidden_layers"], "", biased=False)}
    assert names == {name for name in made if name.startswith("llm.")}
    assert made["connector.layers.2.weight"] == (llm["hidden_size"], 4 * 1152)


@pytest.mark.parametrize(
    ("values", "kind", "layers", "tokens"),
    [
        ({"dynamic_s2": True, "s2_scales": "448,896,1344"}, "mlp_downsample", {2: (3584, 13824), 4: (3584, 3584)}, 256),
        ({}, "mlp_downsample_3x3_fix", {2: (3456, 10368), 5: (3584, 3456), 7: (3584, 3584)}, 121),
    ],
)
def test_structure_of_nvila(values: dict[str, Any], kind: str, layers: dict[int, Any], tokens: int) -> None:
    _, tower = read("VILA1.5-3B/vision_tower/config")
    parts = {"llm": QWEN2_7B, "vision_tower": {**tower, "image_size": 448}, "mm_projector": {"mm_projector_type": kind}}
    config = vila.configure(Path("config.json"), {**NVILA, **values}, parts, {"eos_token_id": 151645}, {})
    model = build(config)
    made = shapes(model)
    assert {k: made[f"connector.layers.{k}.weight"] for k in layers} == layers
    assert {causal_lm(name) for name in llm_names(28, "", biased=True)} <= made.keys()
    assert model.num_visual_tokens(8) == 8 * tokens
    assert (model.sampling.policy, config.llm["eos_token_id"]) == ("linspace", 151645)


def test_nvila_writes_a_line_break_behind_every_frame(tmp_path: Path) -> None:
    folder = tmp_path / "nvila"
    shutil.copytree(GOLDEN / "vila_s2_tiny", folder)
    values = {**json.loads((folder / "config.json").read_text()), **NVILA, "dynamic_s2": True, "s2_scales": "74,148"}
    (folder / "config.json").write_text(json.dumps(values))
    words = json.loads((folder / "llm" / "tokenizer_config.json").read_text())
    words["chat_template"] = "{% for m in messages %}{{ '<s>' + m.role + '\n' + m.content }}{% endfor %}</s>"
    (folder / "llm" / "tokenizer_config.json").write_text(json.dumps(words))
    model: Any = videollm.load(folder, device="cpu")
    other = read_golden("vila_s2_tiny", num_frames=3)
    batch = other.decode()
    visual = model.encode([batch])[0]
    assert model.write_prompt(visual, "Who?")[2] == "<s>user\n" + "<video>\n" * 3 + "Who?</s>"
    assert [part for part in visual.layout if isinstance(part, int)] == [9] * 3
    with torch.inference_mode():
        features = model.tower(model.transform.pixels(model.transform.groups(batch)[0].pictures))
        rows = {**model.state_dict()}
        connector = other.model.connector
        connector.load_state_dict({k.removeprefix("connector."): v for k, v in rows.items() if "connector." in k})
        expected = connector(features.repeat(1, 1, 1, 2)[None], torch.zeros(1, 3))[0]
    transposed = expected.reshape(3, 3, 3, -1).transpose(1, 2).reshape(27, -1)  # columns first, for VILA1.5
    assert torch.allclose(visual.tokens, transposed, atol=1e-5)


def test_prompt_of_llama_3_is_told_by_its_control_tokens() -> None:
    assert configure({}).prompt["template"].count("USER") == 1
    assert "<|start_header_id|>" in configure({}, head="<|start_header_id|>").prompt["template"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ps3": True}, "ps3 True; expected one of False"),
        ({"dynamic_s2": True}, "s2 True; expected one of False"),
        ({**NVILA, "fps": 2}, "fps 2; expected one of 0"),
        (
            {**NVILA, "video_encoder": {"_target_": "llava.model.encoders.TSPVideoEncoder"}},
            "TSPVideoEncoder'; expected",
        ),
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
