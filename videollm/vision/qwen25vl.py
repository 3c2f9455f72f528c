"""The vision tower of Qwen2.5-VL (arXiv:2502.13923): window attention in most layers, frames in pairs, any size.

The parameters have the official names after `visual.`; the merger behind the last block is a connector of its own
(`connectors/patch_merger.py`).

SHAPES  f frames, p pairs of frames, c channels, H W pixels, h w patches, d features; b windows of n patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import silu

from videollm.vision.qwen_blocks import Block, PatchEmbedding
from videollm.vision.rotary import rotary_table
from videollm.vision.tower import VisionTower


class Qwen25VLTower(VisionTower):
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
        self.window = values["window_size"] // self.patch_size
        self.full_layers = frozenset(values["fullatt_block_indexes"])
        self.head_width = self.width // values["num_heads"]
        self.patch_embed = PatchEmbedding(3, self.width, self.temporal_patch, self.patch_size)
        self.blocks = nn.ModuleList(
            Block(self.width, values["num_heads"], nn.RMSNorm, GatedMLP(self.width, values["intermediate_size"]))
            for _ in range(values["depth"])
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pairs of frames, each pair by itself: (f c H W) -> (p h w d)."""
        x: Tensor = self.patch_embed(pixels)
        h, w = x.shape[1:3]
        rows, columns = torch.meshgrid(*(torch.arange(side, device=x.device) for side in (h, w)), indexing="ij")
        places = torch.stack([rows, columns], -1)
        whole = [(slice(0, h), slice(0, w))]
        layouts = {True: _tables(places, whole, self.head_width)}
        layouts[False] = _tables(places, _windows(h, w, self.window), self.head_width)
        for i, block in enumerate(self.blocks):
            x = _attend(block, x, layouts[i in self.full_layers])
        return x


class GatedMLP(nn.Module):
    """SwiGLU (arXiv:2002.05202), with biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.down_proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (... d) -> (... d)."""
        made: Tensor = self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
        return made


Part = tuple[slice, slice]
"""Rows and columns of patches that see each other."""


def _windows(h: int, w: int, side: int) -> list[Part]:
    """Cut a grid into windows, those at the right and bottom edge as small as they come."""
    return [
        (slice(i, min(i + side, h)), slice(j, min(j + side, w))) for i in range(0, h, side) for j in range(0, w, side)
    ]


def _tables(places: Tensor, parts: list[Part], d: int) -> list[tuple[list[Part], tuple[Tensor, Tensor]]]:
    """Group parts of one shape, which attend as one batch, with the rotary tables of their patches."""
    alike: dict[tuple[int, int], list[Part]] = {}
    for part in parts:
        alike.setdefault((part[0].stop - part[0].start, part[1].stop - part[1].start), []).append(part)
    grouped = []
    for members in alike.values():
        inside = torch.stack([rearrange(places[part], "i j two -> (i j) two") for part in members])
        grouped.append((members, rotary_table(inside[..., 0], inside[..., 1], d)))
    return grouped


def _attend(block: nn.Module, x: Tensor, layout: list[tuple[list[Part], tuple[Tensor, Tensor]]]) -> Tensor:
    """Run a block on (p h w d), the parts of a layout apart."""
    p, made = len(x), torch.empty_like(x)
    for parts, (cos, sin) in layout:
        rows, _ = parts[0]
        height = rows.stop - rows.start
        windows = torch.stack([rearrange(x[:, r, c], "p i j d -> p (i j) d") for r, c in parts])
        table = (repeat(cos, "m n d -> (m p) n d", p=p), repeat(sin, "m n d -> (m p) n d", p=p))
        done = rearrange(
            block(rearrange(windows, "m p n d -> (m p) n d"), table), "(m p) (i j) d -> m p i j d", p=p, i=height
        )
        for (r, c), window in zip(parts, done, strict=True):
            made[:, r, c] = window
    return made
