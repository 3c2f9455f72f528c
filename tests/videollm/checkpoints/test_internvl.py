"""The authors' layout of InternVL: the golden checkpoint of the other layout, written as they write it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import videollm
from tests.support.paths import GOLDEN
from videollm import VideoLLM
from videollm.checkpoints.internvl import SYSTEM
from videollm.errors import UserError
from videollm.types import FrameBatch

NAMES = (
    ("vision_tower.embeddings.cls_token", "vision_model.embeddings.class_embedding"),
    ("vision_tower.embeddings.patch_embeddings.projection", "vision_model.embeddings.patch_embedding"),
    ("vision_tower.embeddings.position_embeddings", "vision_model.embeddings.position_embedding"),
    ("vision_tower.encoder.layer", "vision_model.encoder.layers"),
    ("attention.projection_layer", "attn.proj"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("lambda_", "ls"),
    ("multi_modal_projector.layer_norm", "mlp1.0"),
    ("multi_modal_projector.linear_1", "mlp1.1"),
    ("multi_modal_projector.linear_2", "mlp1.3"),
)


def original(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write the authors' names, with query, key and value of the tower in one tensor."""
    made: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if "vision_tower" in name and "attention.q_proj" in name:
            parts = [weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            name, tensor = name.replace("attention.q_proj", "attn.qkv"), torch.cat(parts)
        elif "vision_tower" in name and ("attention.k_proj" in name or "attention.v_proj" in name):
            continue
        for theirs, ours in NAMES:
            name = name.replace(theirs, ours)
        made[name] = tensor.contiguous()
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = GOLDEN / "internvl3_tiny"
    made = tmp_path_factory.mktemp("internvl_chat")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        shutil.copy(source / name, made / name)
    values = json.loads((source / "config.json").read_text())
    llm = {**values["text_config"], "rope_scaling": {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"}}
    vision = {"model_type": "intern_vit_6b", "qkv_bias": True, "qk_normalization": False, "norm_type": "layer_norm",
              "hidden_act": "gelu", "layer_norm_eps": 1e-6, "image_size": 84, "patch_size": 14}  # fmt: skip
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    vision |= {name: values["vision_config"][name] for name in sizes}
    config = {"model_type": "internvl_chat", "llm_config": llm, "vision_config": vision, "force_image_size": 84,
              "downsample_ratio": 0.5, "ps_version": "v2", "select_layer": -1, "template": "internvl2_5"}  # fmt: skip
    (made / "config.json").write_text(json.dumps(config))
    save_file(original(load_file(source / "model.safetensors")), made / "model.safetensors")
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoLLM:
    made = videollm.load(folder, device="cpu")
    assert isinstance(made, VideoLLM)
    return made


def test_weights_are_those_of_the_other_layout(model: VideoLLM) -> None:
    other = videollm.load(GOLDEN / "internvl3_tiny", device="cpu")
    assert isinstance(other, VideoLLM)
    ours, theirs = model.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_prompt_is_the_authors_template(model: VideoLLM) -> None:
    batch = FrameBatch(frames=np.zeros((3, 90, 120, 3), np.uint8), indices=(0, 1, 2), seconds=(0.0, 1.0, 2.0))
    frames = "\n".join(f"Frame{i}: <img><video></img>" for i in (1, 2, 3))
    visual = model.encode([batch])[0]
    _, _, text = model.write_prompt(visual, "Who?")
    assert text == (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{frames}\nWho?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_other_llms_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    file = tmp_path / "other" / "config.json"
    values = json.loads(file.read_text())
    values["llm_config"]["model_type"] = "phi3"
    file.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"phi3.*-hf"):
        videollm.load(file.parent, device="cpu")
