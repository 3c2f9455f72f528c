"""Towers written by hand against the modules of transformers, on random weights and odd grids."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from transformers import AutoConfig, AutoModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel

from connectors import CONNECTORS
from videollm.checkpoints.minicpmv46 import rename
from videollm.vision import TOWERS

VISION = {"depth": 3, "hidden_size": 32, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2,
          "temporal_patch_size": 2}  # fmt: skip
CASES = {
    "qwen2vl": (
        Qwen2VisionTransformerPretrainedModel,
        "qwen2_vl_vision",
        {**VISION, "embed_dim": 32, "mlp_ratio": 4},
        "layer",
    ),
    "qwen25vl": (
        Qwen2_5_VisionTransformerPretrainedModel,
        "qwen2_5_vl_vision",
        {**VISION, "intermediate_size": 40, "window_size": 56, "fullatt_block_indexes": [1], "out_hidden_size": 32},
        "rms",
    ),
}


@pytest.mark.parametrize("size", [(56, 84), (140, 196), (28, 28)])
@pytest.mark.parametrize("name", CASES)
def test_tower_and_merger_are_those_of_transformers(name: str, size: tuple[int, int]) -> None:
    module, kind, values, norm = CASES[name]
    torch.manual_seed(0)
    theirs = module._from_config(AutoConfig.for_model(kind, **values), attn_implementation="eager").eval()
    cls = TOWERS.load(name)
    tower = cls(cls.Config(config=values)).eval()
    merger = CONNECTORS.load("patch_merger")
    connector = merger(merger.Config(d_vision=32, d_llm=32, norm=norm)).eval()
    weights = theirs.state_dict()
    own = {n: w for n, w in weights.items() if not n.startswith("merger.")}
    tower.load_state_dict(own)
    connector.load_state_dict({n.removeprefix("merger."): w for n, w in weights.items() if n.startswith("merger.")})

    pixels = torch.randn(4, 3, *size)
    flat = rearrange(pixels, "(t a) c (h i p) (w j q) -> (t h w i j) (c a p q)", a=2, i=2, j=2, p=14, q=14)
    grid = torch.tensor([[2, size[0] // 14, size[1] // 14]])
    with torch.no_grad():
        expected = theirs(flat, grid_thw=grid).pooler_output
        features = tower(pixels)
        (made,) = connector(features[None], torch.zeros(1, 2, dtype=torch.float64))
    assert torch.allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("merges", [True, False])
@pytest.mark.parametrize("size", [(56, 112), (1400, 56)])
def test_merging_tower_and_merger_are_those_of_transformers(size: tuple[int, int], merges: bool) -> None:
    values = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2,
              "image_size": 140, "patch_size": 14}  # fmt: skip
    text = {"model_type": "qwen3_5_text", "hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 8}
    torch.manual_seed(0)
    theirs = AutoModel.from_config(
        AutoConfig.for_model("minicpmv4_6", vision_config=values, text_config=text, insert_layer_id=1, merger_times=2)
    ).eval()
    cls = TOWERS.load("merging_navit")
    tower = cls(cls.Config(config=values, merge_after=1, merges=merges)).eval()
    merger = CONNECTORS.load("repeated_merger")
    connector = merger(merger.Config(d_vision=32, d_llm=24, rounds=2)).eval()
    own = {rename(n): w for n, w in theirs.state_dict().items()}
    for part, module in (("tower.", tower), ("connector.", connector)):
        module.load_state_dict({n.removeprefix(part): w for n, w in own.items() if n.startswith(part)})

    height, width = (2 * side for side in size)  # two rounds
    pixels = torch.randn(2, 3, height, width)
    strips = rearrange(pixels, "t c (h i) (w j) -> 1 c i (t h w j)", i=14, j=14)
    grids = torch.tensor([[height // 14, width // 14]] * 2)
    with torch.no_grad():
        expected = theirs.get_image_features(strips, grids, downsample_mode="16x" if merges else "4x").pooler_output
        features = tower(pixels)
        (made,) = connector(features[None], torch.zeros(1, 2, dtype=torch.float64))
    assert features.shape[1:3] == tower.grid(height, width)
    assert torch.allclose(made, torch.cat(expected), atol=1e-5)
