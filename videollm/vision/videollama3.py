"""The vision tower of VideoLLaMA3 (arXiv:2501.13106): SigLIP for frames of any size, with rotary places alone.

SHAPES  f frames, c channels, H W pixels, h w patches, n patches of a frame, d features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from videollm.vision.qwen3vl import MLP
from videollm.vision.rotary import rotary_table, rotate
from videollm.vision.tower import VisionTower


class VideoLLaMA3Tower(VisionTower):
    """All patch features after the last norm."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VisionTower.Config):
        """Settings of the tower; all layers run."""

        config: Mapping[str, Any] = field(default_factory=dict)
        """`vision_config` of the checkpoint."""
        select_layer: int = -1

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        values = config.config
        self.width, self.patch_size = values["hidden_size"], values["patch_size"]
        heads, eps = values["num_attention_heads"], values["layer_norm_eps"]
        self.head_width = self.width // heads
        self.patch_embedding = nn.Conv2d(3, self.width, self.patch_size, stride=self.patch_size)
        self.layers = nn.ModuleList(
            Layer(self.width, heads, values["intermediate_size"], eps) for _ in range(values["num_hidden_layers"])
        )
        self.post_layernorm = nn.LayerNorm(self.width, eps=eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames: (f c H W) -> (f h w d)."""
        h, w = self.grid(*pixels.shape[-2:])
        # As the convolution leaves patches, features lie one by one; every layer would copy them and add them slowly.
        x = rearrange(self.patch_embedding(pixels), "f d h w -> f (h w) d").contiguous()
        rows, columns = torch.meshgrid(*(torch.arange(side, device=x.device) for side in (h, w)), indexing="ij")
        cos, sin = rotary_table(rows.flatten(), columns.flatten(), self.head_width)
        table = (repeat(cos, "n d -> f n d", f=len(x)), repeat(sin, "n d -> f n d", f=len(x)))
        for layer in self.layers:
            x = layer(x, table)
        made: Tensor = rearrange(self.post_layernorm(x), "f (h w) d -> f h w d", h=h)
        return made


class Layer(nn.Module):
    """A transformer layer with norms before attention and MLP."""

    def __init__(self, width: int, num_heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.self_attn = Attention(width, num_heads)
        self.mlp = MLP(width, hidden)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """Run the layer on frames: (f n d) -> (f n d)."""
        x = x + self.self_attn(self.layer_norm1(x), table)
        made: Tensor = x + self.mlp(self.layer_norm2(x))
        return made


class Attention(nn.Module):
    """Attention of all patches of a frame to each other, turned by their places."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """Attend: (f n d) -> (f n d)."""
        q, k, v = (
            rearrange(project(x), "f n (h d) -> f h n d", h=self.num_heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        made = scaled_dot_product_attention(rotate(q, table), rotate(k, table), v)
        attended: Tensor = self.out_proj(rearrange(made, "f h n d -> f n (h d)"))
        return attended
