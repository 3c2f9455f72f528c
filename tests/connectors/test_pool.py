import torch
from einops import rearrange, reduce

from connectors import build_connector


def test_groups_are_means_of_projected_patches():
    connector = build_connector("group_mean", d_vision=8, d_llm=16, group_frames=4, group_height=2)
    patches, seconds = torch.randn(2, 6, 4, 3, 8), torch.zeros(2, 6)
    projected = connector.project(patches)
    made = rearrange(connector(patches, seconds), "b (t h w) d -> b t h w d", t=2, h=2)
    full = reduce(projected[:, :4], "b t (h j) w d -> b h w d", "mean", j=2)
    rest = reduce(projected[:, 4:], "b t (h j) w d -> b h w d", "mean", j=2)  # two frames, averaged as they are
    torch.testing.assert_close(made, torch.stack([full, rest], dim=1))


def test_adaptive_pool_bounds_the_tokens():
    connector = build_connector("adaptive_pool", d_vision=8, d_llm=16)
    assert connector.num_tokens(300, 27, 27) == 16 * 12 * 12
    assert connector.num_tokens(1, 5, 30) == 5 * 12


def test_mean_connectors_ignore_the_number_of_frames():
    for name in ("linear", "mlp2x_gelu"):
        connector = build_connector(name, d_vision=8, d_llm=16)
        one = torch.randn(1, 1, 3, 4, 8)
        many = one.expand(1, 5, 3, 4, 8)
        torch.testing.assert_close(connector(many, torch.zeros(1, 5)), connector(one, torch.zeros(1, 1)))
        assert connector.num_tokens(5, 3, 4) == connector.num_tokens(1, 3, 4) == 12
