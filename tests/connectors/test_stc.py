import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file

from connectors import CONNECTORS, build_connector
from connectors.stc import STC
from tests.support.paths import GOLDEN

WEIGHTS = GOLDEN / "stc_connector.safetensors"


def test_stc_matches_videollama2():
    golden = load_file(WEIGHTS)
    weights = {name.removeprefix("weights."): t for name, t in golden.items() if name.startswith("weights.")}
    d_llm, d_vision = weights["s1.b1.conv1.conv.weight"].shape[:2]
    stc = STC(STC.Config(d_vision=d_vision, d_llm=d_llm))
    stc.load_state_dict(weights, strict=True)
    side = int(golden["input"].shape[2] ** 0.5)
    patches = rearrange(golden["input"], "b t (h w) d -> b t h w d", h=side)
    with torch.no_grad():
        made = stc(patches, torch.zeros(patches.shape[:2], dtype=torch.float64))
    torch.testing.assert_close(made, golden["output"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("stc", (845, 1521, 980, 1764)),
        ("stc_v35", (576, 1152, 676, 1352)),
        ("stp", (576, 1152, 676, 1352)),
        ("spatial_conv", (10 * 169, 18 * 169, 10 * 196, 18 * 196)),
        ("spatial_pool", (8 * 144, 16 * 144, 8 * 169, 16 * 169)),
    ],
)
def test_tokens_are_the_official_ones(name, tokens):
    connector = build_connector(name, d_vision=4, d_llm=8)
    made = tuple(connector.num_tokens(t, side, side) for side in (24, 27) for t in (8, 16))
    assert made == tokens


def test_one_frame():
    assert build_connector("stc", d_vision=4, d_llm=8).num_tokens(1, 24, 24) == 169
    for name in ("stc_v35", "stp"):
        with pytest.raises(ValueError, match="t=1 frames of h=24 by w=24 patches, expected at least t=2"):
            build_connector(name, d_vision=4, d_llm=8).num_tokens(1, 24, 24)


@pytest.mark.parametrize("name", ["stc", "stc_v35"])
@pytest.mark.parametrize(("d_vision", "d_llm", "millions"), [(1024, 4096, 489.2), (1152, 3584, 376.9)])
def test_parameters_are_the_official_ones(name, d_vision, d_llm, millions):
    with torch.device("meta"):
        connector = build_connector(name, d_vision=d_vision, d_llm=d_llm)
    assert round(sum(p.numel() for p in connector.parameters()) / 1e6, 1) == millions


def test_variants_share_the_official_names():
    state = {name: set(build_connector(name, d_vision=8, d_llm=16).state_dict()) for name in CONNECTORS}
    assert state["stc"] == state["stc_v35"]
    assert state["stc"] - state["stp"] == {"sampler.0.weight", "sampler.0.bias"}
    assert state["spatial_conv"] - state["spatial_pool"] == {"sampler.0.weight", "sampler.0.bias"}
    assert state["spatial_pool"] == {"readout.0.weight", "readout.0.bias", "readout.2.weight", "readout.2.bias"}
    assert state["mlp2x_gelu"] == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert state["linear"] == {"weight", "bias"}


def test_averages_equal_torch():
    x = torch.randn(2, 5, 7, 6, 16)
    for name, window in (("stp", (2, 2, 2)), ("spatial_pool", (1, 2, 2))):
        sampler = build_connector(name, d_vision=16, d_llm=16).sampler
        channels_first = rearrange(x, "b t h w d -> b d t h w")
        expected = torch.nn.functional.silu(torch.nn.functional.avg_pool3d(channels_first, window))
        torch.testing.assert_close(sampler(channels_first), expected, atol=1e-6, rtol=0)


def test_unknown_variant_names_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown STC variant 'stc'.*stc_connector_v35"):
        build_connector("stc", d_vision=8, d_llm=16, variant="stc")
