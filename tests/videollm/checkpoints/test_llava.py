"""LLaVA in the authors' layout: newline tokens and poolings as their own code writes them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import videollm
from tests.support.official import clip, copy, read_golden
from tests.videollm.checkpoints.test_structure import build, llm_names, read, shapes, tower_names
from videollm.checkpoints import Options, llava, resolve, towers
from videollm.errors import UserError
from videollm.types import Clip


@pytest.mark.parametrize("pool", ["bilinear", "average", "max"])
@pytest.mark.parametrize("newline", list(llava.NEWLINES))
def test_newlines_and_pools_are_the_authors(newline: str, pool: str, tmp_path: Path) -> None:
    golden = read_golden("llava_video_tiny", num_frames=6)
    folder = copy("llava_video_tiny", tmp_path, mm_newline_position=newline, mm_spatial_pool_mode=pool)
    model = videollm.load(folder, device="cpu")
    made = model.encode([golden.decode()])[0].tokens
    expected = golden.tensors[f"{newline}.{pool}"]
    assert made.shape == expected.shape
    assert torch.allclose(made, expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"add_faster_video": True}, "add_faster_video"),
        ({"mm_spatial_pool_stride": 4}, "mm_spatial_pool_stride"),
        ({"mm_projector_type": "pooler"}, "mm_projector_type"),
        ({"mm_newline_position": "row"}, "mm_newline_position"),
        ({"mm_patch_merge_type": "spatial"}, "mm_patch_merge_type"),
    ],
)
def test_what_is_not_read_is_refused(changes: dict[str, Any], word: str, tmp_path: Path) -> None:
    folder = copy("llava_video_tiny", tmp_path, **changes)
    with pytest.raises(UserError, match=f"{word}.*expected"):
        resolve(Options(name=str(folder), device="cpu"))


def test_a_model_that_is_not_told_times(tmp_path: Path) -> None:
    folder = copy("llava_video_tiny", tmp_path, add_time_instruction=None, mm_newline_position=None)
    model: Any = videollm.load(folder, device="cpu")
    assert (model.sampling.num_frames, model.connector.config.newline) == (32, "clip")
    golden = read_golden("llava_video_tiny", num_frames=6)
    visual = model.encode([golden.decode()])[0]
    assert "<video>\nWho?<|im_end|>" in model.write_prompt(visual, "Who?")[2]


def test_times_of_a_part_count_from_its_first_frame() -> None:
    golden = read_golden("llava_video_tiny", num_frames=2)
    batch = golden.model.decode(Clip(video=str(clip(golden.facts["video"])), start=4, end=8))
    text = golden.model.write_prompt(golden.model.encode([batch])[0], "Who?")[2]
    assert "The video lasts for 4.00 seconds, and 2 frames" in text
    assert "located at 0.00s,3.96s.Please" in text


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"mm_newline_position": "grid", "add_time_instruction": True}, 64 * 210),
        ({}, 32 * 196 + 1),
    ],
)
def test_full_size(fields: dict[str, Any], tokens: int) -> None:
    name = "google/siglip-so400m-patch14-384"
    told = {"mm_newline_position", "add_time_instruction"}
    values = {k: v for k, v in read("LLaVA-Video-7B")[1].items() if k not in told} | fields
    config = llava.configure(Path("config.json"), values, towers.TOWERS[name])
    model = build(config)
    rename = llava.renamer(config)
    names = tower_names(26, llava.TOWER, clip=False) | llm_names(28, "", biased=True) | {"model.image_newline"}
    names |= {f"model.mm_projector.{i}.{n}" for i in (0, 2) for n in ("weight", "bias")}
    made = shapes(model)
    used = {t for n in names if (t := rename(n)) is not None}
    assert used == made.keys()
    assert {n for n in names if rename(n) is None} == {f"{llava.TOWER}post_layernorm.{n}" for n in ("weight", "bias")}
    assert made["connector.linear_1.weight"] == (3584, 1152)
    assert model.num_visual_tokens(model.sampling.num_frames) == tokens  # type: ignore[attr-defined]


def test_the_architecture_decides_where_the_model_type_is_transformers_own(tmp_path: Path) -> None:
    folder = copy("llava_video_tiny", tmp_path, model_type="llava_qwen", architectures=None)
    assert resolve(Options(name=str(folder), device="cpu")).info.connector == "mlp_pool"
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llava_qwen"
