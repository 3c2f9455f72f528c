from __future__ import annotations

import pytest
import torch

from videollm.vision.navit import NavitTower, buckets, position_ids

OTHER_THAN_FRACTIONS = {25, 49, 50, 55, 58, 77, 82, 86, 94, 98, 100, 110, 115, 135}
"""Numbers of patches for which i / n falls into other buckets than the official sum of float32 steps."""


@pytest.mark.parametrize("n", range(1, 141))
def test_buckets_are_the_official_ones(n: int) -> None:
    boundaries = torch.arange(1 / 70, 1.0, 1 / 70)
    step = 1 / torch.tensor(n, dtype=torch.int32)
    expected = torch.bucketize(torch.arange(0, 1 - 1e-6, step), boundaries, right=True).tolist()
    assert list(buckets(n, 70)) == expected
    assert len(expected) == n
    assert max(expected) <= 69
    fractions = torch.bucketize(torch.arange(n) / n, boundaries, right=True).tolist()
    assert (expected != fractions) == (n in OTHER_THAN_FRACTIONS)


def test_position_ids_are_row_major() -> None:
    assert position_ids(2, 3, 70).tolist() == [r * 70 + c for r in (0, 35) for c in buckets(3, 70)]
    assert position_ids(70, 70, 70).tolist() == list(range(4900))


def test_any_resolution_and_patch_order() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower = NavitTower(NavitTower.Config(config={**sizes, "image_size": 980, "patch_size": 14})).eval()
    for h, w in ((1, 1), (3, 5), (5, 3), (24, 43)):
        with torch.no_grad():
            frames = torch.randn(2, 3, h * 14, w * 14)
            both = tower(frames)
            assert both.shape == (2, h, w, 16)
            assert torch.allclose(both[1:], tower(frames[1:]), atol=1e-5)


def test_the_last_layer_is_dropped_only_where_the_config_says_so() -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = {**sizes, "image_size": 980, "patch_size": 14}
    assert len(NavitTower(NavitTower.Config(config=config)).model.encoder.layers) == 3
    assert len(NavitTower(NavitTower.Config(config=config, select_layer=-2)).model.encoder.layers) == 2
