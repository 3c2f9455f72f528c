import pytest
import torch
from einops import repeat

from connectors.mlp_downsample import MLPDownsample
from tests.support.paths import GOLDEN
from tests.support.tensors import read

OFFICIAL, _ = read(GOLDEN / "vila_s2_tiny" / "golden_nvila.safetensors.gz")


def build(order):
    connector = MLPDownsample(MLPDownsample.Config(d_vision=60, d_llm=24, order=order))
    connector.load_state_dict({k.removeprefix("weights."): v for k, v in OFFICIAL.items() if k.startswith("weights.")})
    return connector


def run(grids, order):
    side = round(grids.shape[1] ** 0.5)
    patches = grids.unflatten(1, (side, side))[:, None]
    with torch.no_grad():
        return build(order)(patches, torch.zeros(len(grids), 1))


@pytest.mark.parametrize(("order", "official"), [("rows", "nvila"), ("columns", "vila15")])
@pytest.mark.parametrize("sides", ["even", "odd"])
def test_tokens_are_those_of_the_official_module(sides, order, official):
    torch.testing.assert_close(
        run(OFFICIAL[f"grid_{sides}"], order), OFFICIAL[f"tokens_{sides}_{official}"], atol=1e-5, rtol=1e-5
    )


def test_a_frame_of_nvila_is_one_tile_repeated():
    frame = repeat(OFFICIAL["tile_features"][-1:], "b n d -> b n (s d)", s=3)
    torch.testing.assert_close(run(frame, "rows")[0], OFFICIAL["tokens_frame"], atol=1e-5, rtol=1e-5)


def test_tokens_of_columns_lie_in_the_transposed_grid():
    assert build("rows").grid(2, 4, 8) == (2, 2, 4)
    assert build("columns").grid(2, 4, 8) == (2, 4, 2)
