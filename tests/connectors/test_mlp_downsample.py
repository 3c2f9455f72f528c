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


def test_channels_of_a_frame_stand_for_all_scales():
    connector = MLPDownsample(MLPDownsample.Config(d_vision=20, d_llm=24, copies=3))
    connector.load_state_dict(build("rows").state_dict())
    patches = OFFICIAL["tile_features"][-1:].unflatten(1, (6, 6))[:, None]
    with torch.no_grad():
        made = connector(patches, torch.zeros(1, 1))
    torch.testing.assert_close(made[0], OFFICIAL["tokens_frame"], atol=1e-5, rtol=1e-5)


def test_cells_of_three_are_filled_up():
    connector = MLPDownsample(MLPDownsample.Config(d_vision=5, d_llm=8, side=3))
    patches = torch.randn(1, 2, 4, 6, 5)
    cell = torch.zeros(3, 3, 5)
    cell[0] = patches[0, 1, 3, 3:6]
    with torch.no_grad():
        made = connector(patches, torch.zeros(1, 2))
        torch.testing.assert_close(made[0, -1], connector.layers(cell.flatten()))
    assert made.shape == (1, 2 * 2 * 2, 8)
    assert {name for name, _ in connector.named_parameters()} == {
        f"layers.{i}.{kind}" for i in (1, 2, 4, 5, 7) for kind in ("weight", "bias")
    }


def test_tokens_of_columns_lie_in_the_transposed_grid():
    assert build("rows").grid(2, 4, 8) == (2, 2, 4)
    assert build("columns").grid(2, 4, 8) == (2, 4, 2)
