import pytest
import torch
from einops import rearrange
from safetensors import safe_open
from torch import nn

from connectors import ClipFeatures, build_connector
from connectors.resampler3d import Resampler3D, pos2d, sincos, temporal, temporal_ids
from tests.support.paths import GOLDEN

WEIGHTS = GOLDEN / "resampler3d.safetensors"


@pytest.fixture
def golden():
    with safe_open(WEIGHTS, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)


@pytest.fixture
def official(golden):
    weights = {name.removeprefix("weights."): t for name, t in golden.items() if name.startswith("weights.")}
    resampler = Resampler3D(Resampler3D.Config(d_vision=64, d_llm=256, frames_per_pack=3))
    resampler.load_state_dict(weights, strict=True)
    return resampler.eval()


SECONDS = (torch.tensor([0, 2, 5, 9, 12], dtype=torch.float64) + 0.5) / 10  # of temporal ids [[0, 2, 5], [9, 12]]


def test_packs_match_minicpmv(golden, official):
    patches = rearrange(golden["input"], "t (h w) d -> 1 t h w d", h=16)
    with torch.no_grad():
        made = rearrange(official(patches, SECONDS[None]), "1 (p q) d -> p q d", p=2)
    torch.testing.assert_close(made, golden["output"], atol=1e-5, rtol=0)


def test_packs_given_as_clips_match_minicpmv(golden, official):
    frames = rearrange(golden["input"], "t (h w) d -> t h w d", h=16).unbind()
    clips = [ClipFeatures(frames=frames[a:b], seconds=SECONDS[a:b]) for a, b in ((0, 3), (3, 5))]
    with torch.no_grad():
        made = torch.stack(official.connect(clips))
    torch.testing.assert_close(made, golden["output"], atol=1e-5, rtol=0)


def test_attention_equals_torch():
    resampler = build_connector("resampler3d", d_vision=8, d_llm=32, num_heads=4, num_queries=3)
    reference = nn.MultiheadAttention(32, 4, batch_first=True)
    reference.load_state_dict(resampler.attn.state_dict(), strict=True)
    queries, keys, values = torch.randn(3, 32), torch.randn(9, 32), torch.randn(9, 32)
    made = resampler.attn(queries, keys, values, [4, 5])
    for i, (a, b) in enumerate(((0, 4), (4, 9))):
        expected = reference(queries[None], keys[None, a:b], values[None, a:b])[0][0]
        torch.testing.assert_close(made[i], expected, atol=1e-6, rtol=0)


def test_positions_put_the_column_first():
    table = rearrange(pos2d(3, 100, 16, torch.device("cpu")), "(h w) d -> h w d", h=3)  # wider than the official 70
    torch.testing.assert_close(table[2, 90, :8], sincos(torch.tensor([90]), 8)[0])
    torch.testing.assert_close(table[2, 90, 8:], sincos(torch.tensor([2]), 8)[0])


def test_temporal_ids_are_cut_in_float64():
    seconds = torch.tensor([-1.0, -0.01, 0.0, 0.09, 0.3, 1.2, 100.0], dtype=torch.float64)
    assert temporal_ids(seconds).tolist() == [-1, -1, 0, 0, 2, 11, 1000]  # 0.3 / 0.1 = 2.99.., as officially
    rows = temporal(temporal_ids(seconds), 8)
    assert not rows[:2].any()
    torch.testing.assert_close(rows[2], torch.tensor([0.0] * 4 + [1.0] * 4))


def test_frames_of_unequal_grids_share_a_pack():
    """A pack of unequal frames equals one attention over all their patches, done by hand."""
    resampler = build_connector("resampler3d", d_vision=8, d_llm=32, num_heads=2, frames_per_pack=0).double().eval()
    frames = [torch.randn(h, w, 8, dtype=torch.float64) for h, w in ((3, 4), (5, 2), (1, 1))]
    seconds = torch.tensor([-1.0, 0.55, 7.25], dtype=torch.float64)
    keys, values = [], []
    for frame, id_ in zip(frames, (-1, 5, 72), strict=True):
        x = resampler.ln_kv(resampler.kv_proj(rearrange(frame, "h w d -> (h w) d")))
        position = pos2d(*frame.shape[:2], 32, torch.device("cpu"))
        keys.append(x + position + (temporal(torch.tensor([id_]), 32) if id_ >= 0 else 0))
        values.append(x)
    reference = nn.MultiheadAttention(32, 2, batch_first=True).double()
    reference.load_state_dict(resampler.attn.state_dict())
    query = resampler.ln_q(resampler.query)
    attended = reference(query[None], torch.cat(keys)[None], torch.cat(values)[None])[0][0]
    expected = resampler.ln_post(attended) @ resampler.proj
    made = resampler.connect([ClipFeatures(frames=tuple(frames), seconds=seconds)])[0]
    torch.testing.assert_close(made, expected, atol=1e-9, rtol=0)


def test_time_matters_in_3d_only():
    patches = torch.randn(1, 4, 3, 3, 8)
    early, late = torch.arange(4, dtype=torch.float64)[None], torch.arange(4, dtype=torch.float64)[None] * 3
    for name, differs in (("resampler3d", True), ("resampler2d", False)):
        connector = build_connector(name, d_vision=8, d_llm=32)
        assert torch.equal(connector(patches, early), connector(patches, late)) is not differs


def test_tokens_of_packs():
    for frames_per_pack, tokens in ((0, 64), (1, 640), (3, 256), (6, 128), (10, 64)):
        resampler = build_connector("resampler3d", d_vision=8, d_llm=32, frames_per_pack=frames_per_pack)
        assert resampler.num_tokens(10, 7, 9) == tokens


def test_settings_that_do_not_fit():
    with pytest.raises(ValueError, match="num_heads=5, expected d_llm to be a multiple"):
        build_connector("resampler3d", d_vision=8, d_llm=32, num_heads=5)
    with pytest.raises(ValueError, match="frames_per_pack=-1"):
        build_connector("resampler3d", d_vision=8, d_llm=32, frames_per_pack=-1)
    resampler = build_connector("resampler3d", d_vision=8, d_llm=32)
    assert resampler.connect([]) == []
    with pytest.raises(ValueError, match="expected at least t=1"):
        resampler.connect([ClipFeatures(frames=(), seconds=torch.zeros(0, dtype=torch.float64))])
