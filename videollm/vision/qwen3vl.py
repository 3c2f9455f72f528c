"""The vision tower of Qwen3-VL (arXiv:2511.21631): a learned table of places beside rotary ones.

The parameters have the official names after `visual.`; the mergers are a connector of their own
(`connectors/patch_merger.py`), which `needs` the features of inner layers for deepstack (arXiv:2406.04334).

SHAPES  f frames, p pairs of frames, c channels, H W pixels, h w patches, d features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import gelu

from videollm.vision.qwen_blocks import Block, PatchEmbedding
from videollm.vision.rotary import rotary_table
from videollm.vision.tower import VisionTower


class Qwen3VLTower(VisionTower):
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
        self.width, self.patch_size = values["hidden_size"], values["patch_size"]
        self.temporal_patch = values.get("temporal_patch_size", 2)
        self.offers = tuple(f"layer:{i}" for i in range(1, values["depth"] + 1))
        self.head_width = self.width // values["num_heads"]
        self.side = round(values["num_position_embeddings"] ** 0.5)
        self.patch_embed = PatchEmbedding(3, self.width, self.temporal_patch, self.patch_size, bias=True)
        self.pos_embed = nn.Embedding(self.side**2, self.width)
        self.blocks = nn.ModuleList(
            Block(self.width, values["num_heads"], nn.LayerNorm, MLP(self.width, values["intermediate_size"]))
            for _ in range(values["depth"])
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pairs of frames, each pair by itself: (f c H W) -> (p h w d)."""
        return self.encode(pixels)[0]

    def encode(self, pixels: Tensor, needs: Sequence[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode pairs of frames, and give the features of inner layers where they are needed."""
        x = self.patch_embed(pixels)
        p, h, w, _ = x.shape
        x = rearrange(x + self._places(h, w), "p h w d -> p (h w) d")
        rows, columns = torch.meshgrid(*(torch.arange(side, device=x.device) for side in (h, w)), indexing="ij")
        cos, sin = rotary_table(rows.flatten(), columns.flatten(), self.head_width)
        table = (repeat(cos, "n d -> p n d", p=p), repeat(sin, "n d -> p n d", p=p))
        inner = {}
        for name, block in zip(self.offers, self.blocks, strict=True):
            x = block(x, table)
            if name in needs:
                inner[name] = rearrange(x, "p (h w) d -> p h w d", h=h)
        return rearrange(x, "p (h w) d -> p h w d", h=h), inner

    def _places(self, h: int, w: int) -> Tensor:
        """Resample the table of places to a grid, bilinearly, corners on corners: (h w d)."""
        table = rearrange(self.pos_embed.weight, "(i j) d -> i j d", i=self.side)
        made = torch.zeros((), device=table.device)
        (r0, r1, dr), (c0, c1, dc) = (_neighbours(n, self.side, table.device) for n in (h, w))
        for rows, of_rows in ((r0, 1 - dr), (r1, dr)):
            for columns, of_columns in ((c0, 1 - dc), (c1, dc)):
                weights = (of_rows[:, None] * of_columns[None, :]).to(table.dtype)
                made = made + table[rows][:, columns] * weights[..., None]
        return made


class MLP(nn.Module):
    """Two linear layers with a GELU (tanh) between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear_fc1, self.linear_fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (... d) -> (... d)."""
        made: Tensor = self.linear_fc2(gelu(self.linear_fc1(x), approximate="tanh"))
        return made


def _neighbours(n: int, side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Find, for n points evenly over a table's side, the entries before and after, and the share of the latter."""
    at = torch.linspace(0, side - 1, n, device=device)
    before = at.int().long()
    return before, (before + 1).clamp(max=side - 1), at - before
