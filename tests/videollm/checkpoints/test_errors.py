"""A checkpoint that is not what it says is one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import videollm
from connectors.stc import STC
from tests.support.official import copy, rewrite

VIDEOLLAMA2, MINICPMV = "videollama2_tiny", "minicpmv45_tiny"
CONV = "model.mm_projector.sampler.0.weight"


def refused(folder: Path, match: str, **options: object) -> None:
    with pytest.raises(ValueError, match=match):
        videollm.load(folder, device="cpu", **options)  # type: ignore[arg-type]


def test_a_wrong_connector_type(tmp_path: Path) -> None:
    refused(copy(VIDEOLLAMA2, tmp_path / "a", mm_projector_type="stp_connector"), f"unexpected {CONV}")
    refused(
        copy(VIDEOLLAMA2, tmp_path / "b", mm_projector_type="spatial_conv"), r"of shape \(64, 64, 2, 2, 2\), expected"
    )
    refused(copy(VIDEOLLAMA2, tmp_path / "c", mm_projector_type="qformer"), "'qformer'; expected one of stc_connector,")


def test_no_connector_type(tmp_path: Path) -> None:
    refused(copy(VIDEOLLAMA2, tmp_path, mm_projector_type=None), r"config\.json has no mm_projector_type")


def test_only_the_config_tells_v35_apart(tmp_path: Path) -> None:
    model = videollm.load(copy(VIDEOLLAMA2, tmp_path, mm_projector_type="stc_connector_v35"), device="cpu")
    assert isinstance(model.connector, STC)
    assert (model.connector_name, model.connector.config.variant) == ("stc_v35", "stc_connector_v35")
    assert model.num_visual_tokens(8) == 64


@pytest.mark.parametrize("changes", [{"version": None}, {"version": 2.5}])
def test_an_unknown_version(tmp_path: Path, changes: dict[str, object]) -> None:
    refused(copy(MINICPMV, tmp_path, **changes), "version")


def test_an_unknown_model_type(tmp_path: Path) -> None:
    expected = r"'minicpmv9' and architectures \['MiniCPMV'\], which is none of .* the nearest are minicpmv, .*--family"
    refused(copy(MINICPMV, tmp_path, model_type="minicpmv9"), expected)


@pytest.mark.parametrize(
    ("got", "nearest"),
    [("Qwen2_5_VL", "qwen2_5_vl"), ("internvl3", "internvl"), ("llava_onevision_2", "llava_onevision")],
)
def test_the_nearest_model_type_comes_first(got: str, nearest: str, tmp_path: Path) -> None:
    refused(copy(MINICPMV, tmp_path, model_type=got, architectures=None), f"nearest are {nearest}, ")


@pytest.mark.parametrize("name", [VIDEOLLAMA2, MINICPMV])
def test_a_renamed_key_is_listed_on_both_sides(tmp_path: Path, name: str) -> None:
    folder = copy(name, tmp_path)
    key = next(k for k in load_file(folder / "model.safetensors") if k.endswith("layers.1.self_attn.q_proj.weight"))
    rewrite(folder, lambda w: {("other." + k if k == key else k): v for k, v in w.items()})
    refused(folder, rf"missing .*layers\.1\.self_attn\.q_proj\.weight; .*unexpected other\.{key}")


def test_a_misshapen_key(tmp_path: Path) -> None:
    folder = copy(MINICPMV, tmp_path)
    rewrite(folder, lambda w: {**w, "resampler.query": w["resampler.query"][:32]})
    refused(folder, r"resampler\.query of shape \(32, 256\), expected \(64, 256\)")


def test_a_tower_layer_too_many(tmp_path: Path) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path)
    layer = "model.vision_tower.vision_tower.vision_model.encoder.layers"
    rewrite(folder, lambda w: {**w, f"{layer}.3.layer_norm1.bias": torch.zeros(32)})
    refused(folder, f"unexpected {layer}.3.layer_norm1.bias")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path)
    file = folder / "model.safetensors"
    if suffix == "bin":
        torch.save(load_file(file), folder / "pytorch_model.bin")
        file.unlink()
        file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-1000])
    refused(folder, rf"{file.name} is damaged or incomplete")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path)
    names = {"lm_head.weight": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    refused(folder, "lacks model-00002-of-00002.safetensors, which model.safetensors.index.json lists")


def test_no_weights_at_all(tmp_path: Path) -> None:
    folder = copy(MINICPMV, tmp_path)
    (folder / "model.safetensors").unlink()
    refused(folder, "missing")


def test_a_pickle_of_anything_but_tensors_is_not_run(tmp_path: Path) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Path("x")}, folder / "pytorch_model.bin")
    refused(folder, r"pytorch_model\.bin is damaged")


def test_a_tower_that_is_not_there(tmp_path: Path) -> None:
    refused(copy(VIDEOLLAMA2, tmp_path, mm_vision_tower="./nowhere"), "nowhere")


def test_a_damaged_config(tmp_path: Path) -> None:
    folder = copy(VIDEOLLAMA2, tmp_path)
    (folder / "config.json").write_text('{"model_type": ')
    refused(folder, r"config\.json is not JSON")


def test_connector_weights_that_do_not_fit(tmp_path: Path) -> None:
    save_file({"0.weight": torch.zeros(64, 32), "0.bias": torch.zeros(64)}, tmp_path / "mlp.safetensors")
    folder = copy(VIDEOLLAMA2, tmp_path)
    refused(folder, r"missing 2\.weight", connector="mlp", connector_weights=tmp_path / "mlp.safetensors")
