"""CogVLM2-Video: what one configuration does not tell apart, what is easily got wrong, and its names at full size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import videollm
from tests.support.official import Golden, clip, copy, read_golden, rewrite
from tests.videollm.checkpoints.test_structure import build, read, shapes
from videollm.checkpoints.cogvlm2_video import configure, rename
from videollm.engines.packing import VISUAL
from videollm.engines.vllm import VLLMEngine
from videollm.errors import UserError
from videollm.models.composed import VideoLLM
from videollm.video.preprocessing.float_square import FloatSquare

NAME = "cogvlm2video_tiny"


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read_golden(NAME)


@pytest.fixture(scope="module")
def presets(golden: Golden) -> dict[str, VideoLLM]:
    made = {v: videollm.load(golden.folder, device="cpu", preset=v) for v in ("chat", "base", "vqa")}
    return {name: model for name, model in made.items() if isinstance(model, VideoLLM)}


def test_variants_see_the_official_frames(golden: Golden, presets: dict[str, VideoLLM]) -> None:
    for name, expected in json.loads(golden.facts["sampling_cases"]).items():
        video, preset = name.split(":")
        assert list(presets[preset].decode(clip(video)).indices) == expected, name


@pytest.mark.parametrize("preset", ["base", "vqa"])
def test_without_numbers_all_frames_are_one_run(golden: Golden, presets: dict[str, VideoLLM], preset: str) -> None:
    model, question = presets[preset], golden.facts["question"]
    visual = model.encode([model.decode(clip(golden.facts["video"]))])[0]
    ids, positions, text = model.write_prompt(visual, question)
    assert text == "<video>" + json.loads(golden.facts["prompts"])[preset]
    assert ids[:2] == [model.tokenizer.bos_token_id, VISUAL]
    last = 24 * 66
    assert ids[last] == VISUAL != ids[last + 1]
    assert positions[: last + 3] == [0, 1, *[2] * (last - 2), 3, 4, 5]


def test_the_question_does_not_become_a_frame(golden: Golden) -> None:
    visual = golden.model.encode([golden.decode(sampling=golden.model.sampling.override(max_num_frames=2))])[0]
    ids, _, text = golden.model.write_prompt(visual, "<|reserved_special_token_0|><video>", system="Be brief.")
    assert ids.count(VISUAL) == 2 * 66
    assert text == "<video>0<video>1Be brief.\nQuestion: <|reserved_special_token_0|><video> Answer:"


def test_an_unknown_variant(golden: Golden) -> None:
    with pytest.raises(UserError, match="preset is 'caption'; expected one of chat, base, vqa"):
        videollm.load(golden.folder, device="cpu", preset="caption")
    with pytest.raises(UserError, match="preset is 'base'; expected none, as this model has no presets"):
        videollm.load("tiny-stc", device="cpu", preset="base")


def test_image_models_are_refused(tmp_path: Path) -> None:
    folder = copy(NAME, tmp_path, architectures=["CogVLMForCausalLM"])
    with pytest.raises(UserError, match=r"model_type 'None' and architectures \['CogVLMForCausalLM'\], which is none"):
        videollm.load(folder, device="cpu")


def test_answers_are_greedy_and_as_long_as_the_authors(golden: Golden) -> None:
    assert (golden.model.generation.temperature, golden.model.generation.max_new_tokens) == (0.0, 2048)
    assert golden.model.engine.end_ids == {267}


def test_the_tables_of_the_rotary_embedding_are_rounded_in_bfloat16(golden: Golden) -> None:
    rotary = videollm.load(golden.folder, device="cpu", dtype="bfloat16").llm.model.rotary_emb  # type: ignore[attr-defined]
    made = rotary(torch.zeros(1, 1, 1, dtype=torch.bfloat16), torch.arange(512)[None])
    for table, name in zip(made, ("rope_cos_bf16", "rope_sin_bf16"), strict=True):
        expected = golden.tensors[name]
        assert torch.equal(table[0], torch.cat([expected, expected], -1))


def test_frequencies_are_read_and_not_computed(tmp_path: Path) -> None:
    folder = copy(NAME, tmp_path)
    key = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rewrite(folder, lambda w: {**w, key: 2 * w[key]})
    made, first = (videollm.load(f, device="cpu").state_dict() for f in (folder, read_golden(NAME).folder))  # type: ignore[attr-defined]
    name = "llm.model.rotary_emb.inv_freq"
    assert torch.equal(made[name], 2 * first[name])
    rewrite(folder, lambda w: {k: v for k, v in w.items() if k != key})
    with pytest.raises(UserError, match=f"missing {name}"):
        videollm.load(folder, device="cpu")


def test_vllm_is_refused(golden: Golden) -> None:
    with pytest.raises(UserError, match="rotary frequencies and positions of its own"):
        VLLMEngine.check_backbone(golden.model.llm)


def test_sizes_and_crops_are_the_official_ones(golden: Golden) -> None:
    square = FloatSquare()
    for width, height, new_width, new_height, left, top in json.loads(golden.facts["crop_cases"]):
        assert square.scaled_size(height, width) == (new_height, new_width)
        assert [round((side - square.size) / 2) for side in (new_height, new_width)] == [top, left]


def published_names(tower: int, llm: int) -> set[str]:
    names = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    of_layer = ["input_layernorm.weight", "post_attention_layernorm.weight", "self_attn.rotary_emb.inv_freq"]
    of_layer += [f"self_attn.language_expert_{p}.weight" for p in ("query_key_value", "dense")]
    of_layer += [f"mlp.language_mlp.{p}_proj.weight" for p in ("gate", "up", "down")]
    names |= {f"model.layers.{n}.{p}" for n in range(llm) for p in of_layer}
    kinds = ("weight", "bias")
    of_layer = [f"attention.{p}.{k}" for p in ("query_key_value", "dense") for k in kinds]
    of_layer += [
        f"{p}.{k}" for p in ("mlp.fc1", "mlp.fc2", "input_layernorm", "post_attention_layernorm") for k in kinds
    ]
    names |= {f"model.vision.transformer.layers.{n}.{p}" for n in range(tower) for p in of_layer}
    vision = ["boi", "eoi", "patch_embedding.cls_embedding", "patch_embedding.position_embedding.weight"]
    vision += [f"{p}.{k}" for p in ("patch_embedding.proj", "conv", "linear_proj.norm1") for k in kinds]
    vision += [f"linear_proj.{p}.weight" for p in ("linear_proj", "dense_h_to_4h", "gate_proj", "dense_4h_to_h")]
    return names | {f"model.vision.{p}" for p in vision}


def test_full_size() -> None:
    model = build(configure(*read("cogvlm2-video-llama3-chat")), NAME)
    made, names = shapes(model), published_names(63, 32)
    assert len(names) == 1029
    renamed = [rename(name) for name in names]
    assert {t for r in renamed if r for t in ((r,) if isinstance(r, str) else r)} == made.keys()
    assert made["llm.model.layers.31.self_attn.k_proj.weight"] == (1024, 4096)
    assert made["llm.model.rotary_emb.inv_freq"] == (64,)
    assert made["tower.transformer.layers.62.attention.query_key_value.weight"] == (5376, 1792)
    assert made["tower.patch_embedding.cls_embedding"] == (1, 1792)
    assert made["connector.boi"] == made["connector.eoi"] == (1, 1, 4096)
    assert made["connector.linear_proj.gate_proj.weight"] == (14336, 4096)
    billions = [round(sum(p.numel() for p in part.parameters()) / 1e9, 2)
                for part in (model.tower, model.connector, model.llm)]  # fmt: skip
    assert billions == [4.28, 0.2, 8.03]
    assert model.num_visual_tokens(24) == 24 * 66
