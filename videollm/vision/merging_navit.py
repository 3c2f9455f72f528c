"""The tower of MiniCPM-V 4.6 and 4.7: SigLIP at any resolution, which merges patches after an inner layer.

The patches of each window become one (LLaVA-UHD v4), so that the layers behind are cheaper.

SHAPES  f frames, c channels, H W pixels, h w patches (merged ones where windows are merged), d features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers.models.siglip.modeling_siglip import SiglipAttention

from videollm.errors import UserError
from videollm.vision.navit import NavitTower


class MergingNavitTower(NavitTower):
    """Features after the last norm, one of each window of patches."""

    @dataclass(frozen=True, kw_only=True)
    class Config(NavitTower.Config):
        """Settings of the tower."""

        merge_after: int = 6
        """Layer behind which windows are merged, counted from 0."""
        side: int = 2
        """Rows and columns of a window."""
        merges: bool = True
        """Whether windows are merged; else every patch stays (`downsample_mode` 4x)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        num_layers = len(self.model.encoder.layers)
        if not 0 <= config.merge_after < num_layers or config.side < 1:
            raise UserError(
                f"{type(self).__name__} got merge_after={config.merge_after} and side={config.side}; expected a layer "
                f"from 0 to {num_layers - 1}, and at least 1."
            )
        self.merge_after = config.merge_after if config.merges else None
        self.vit_merger = WindowMerger(self.model.config, config.side)
        self.inner_patch_size = self.patch_size
        self.patch_size *= config.side if config.merges else 1

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames: (f c H W) -> (f h w d)."""
        h, w = (size // self.inner_patch_size for size in pixels.shape[-2:])
        embeddings = self.model.embeddings
        ids = rearrange(self._buckets(h)[:, None] * self.num_buckets + self._buckets(w), "h w -> (h w)")
        x = rearrange(embeddings.patch_embedding(pixels), "f d h w -> f (h w) d").contiguous()
        x = x + embeddings.position_embedding(ids.to(pixels.device))
        for i, layer in enumerate(self.model.encoder.layers):
            x = layer(x, attention_mask=None)
            if i == self.merge_after:
                merged = self.vit_merger(rearrange(x, "f (h w) d -> f h w d", h=h))
                h, x = merged.shape[1], rearrange(merged, "f h w d -> f (h w) d")
        made: Tensor = rearrange(self.model.post_layernorm(x), "f (h w) d -> f h w d", h=h)
        return made

    def _buckets(self, n: int) -> Tensor:
        """Find the row of the table that each of n patches falls into: by `i / n`, unlike MiniCPM-V 4.5."""
        boundaries = torch.arange(1 / self.num_buckets, 1.0, 1 / self.num_buckets)
        return torch.bucketize(torch.arange(n) / n, boundaries, right=True)


class WindowMerger(nn.Module):
    """Attention within windows, then an MLP from all patches of a window to what is added to their mean."""

    def __init__(self, config: Any, side: int) -> None:
        super().__init__()
        self.side = side
        d, hidden = (size * side**2 for size in (config.hidden_size, config.intermediate_size))
        self.self_attn = SiglipAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pre_norm = nn.LayerNorm(d, eps=config.layer_norm_eps)
        self.linear_1, self.linear_2 = nn.Linear(d, hidden), nn.Linear(hidden, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Merge windows: (f H W d) -> (f h w d)."""
        f, h = x.shape[0], x.shape[1] // self.side
        windows = rearrange(x, "f (h i) (w j) d -> (f h w) (i j) d", i=self.side, j=self.side)
        windows = windows + self.self_attn(self.layer_norm1(windows))[0]
        joined = self.pre_norm(rearrange(windows, "b n d -> b (n d)"))
        made: Tensor = self.linear_2(gelu(self.linear_1(joined), approximate="tanh"))
        made = rearrange(made + reduce(windows, "b n d -> b d", "mean"), "(f h w) d -> f h w d", f=f, h=h)
        return made
