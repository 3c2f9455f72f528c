"""The vision tower of Qwen2-VL (arXiv:2409.12191): frames in pairs, any size, places by rotation alone.

The parameters have the official names after `visual.`; the merger behind the last block is a connector of its own
(`connectors/patch_merger.py`).

SHAPES  f frames, p pairs of frames, c channels, H W pixels, h w patches, d features, n patches of a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from videollm.vision.qwen_blocks import Block, PatchEmbedding
from videollm.vision.rotary import rotary_table
from videollm.vision.tower import VisionTower


class Qwen2VLTower(VisionTower):
    """Features of pairs of frames after the last block, which has no norm behind it."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VisionTower.Config):
        """Settings of the tower; all blocks run."""

        config: Mapping[str, Any] = field(default_factory=dict)
        """`vision_config` of the checkpoint."""
        select_layer: int = -1

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        values = config.config
        self.width, self.patch_size = values["embed_dim"], values["patch_size"]
        self.temporal_patch = values["temporal_patch_size"]
        self.head_width = self.width // values["num_heads"]
        self.patch_embed = PatchEmbedding(3, self.width, self.temporal_patch, self.patch_size)
        self.blocks = nn.ModuleList(
            Block(self.width, values["num_heads"], nn.LayerNorm, MLP(self.width, int(self.width * values["mlp_ratio"])))
            for _ in range(values["depth"])
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pairs of frames, each pair by itself: (f c H W) -> (p h w d)."""
        x: Tensor = self.patch_embed(pixels)
        p, h, w, _ = x.shape
        rows, columns = torch.meshgrid(*(torch.arange(side, device=x.device) for side in (h, w)), indexing="ij")
        cos, sin = rotary_table(rows.flatten(), columns.flatten(), self.head_width)
        table = (repeat(cos, "n d -> p n d", p=p), repeat(sin, "n d -> p n d", p=p))
        x = rearrange(x, "p h w d -> p (h w) d")
        for block in self.blocks:
            x = block(x, table)
        return rearrange(x, "p (h w) d -> p h w d", h=h)


class MLP(nn.Module):
    """Two linear layers with OpenAI's fast GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (... d) -> (... d)."""
        x = self.fc1(x)
        made: Tensor = self.fc2(x * torch.sigmoid(1.702 * x))
        return made
