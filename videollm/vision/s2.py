"""S2 (Shi et al. 2024, arXiv:2403.13043): SigLIP looks at a frame at several scales, tile by tile.

SHAPES  f frames, c channels, H W pixels of the largest scale, h w patches of the smallest one, d features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from videollm.errors import UserError
from videollm.vision.siglip import SiglipTower
from videollm.vision.tower import VisionTower

MAX_TILES_PER_FORWARD: Final = 256
"""Tiles that go through SigLIP at once; bounds its memory."""


class SiglipS2Tower(SiglipTower):
    """Features of every scale, averaged down to the grid of the smallest, side by side in the channels."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VisionTower.Config):
        """Settings of the tower."""

        scales: tuple[int, ...]
        """Sides of the square pictures, in pixels, ascending; pictures arrive at the largest."""
        split: int
        """Largest side of a tile; it is SigLIP's own picture size."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scales = tuple(config.scales)
        self.tiles = tuple(math.ceil(scale / config.split) for scale in self.scales)
        side = config.config["image_size"]
        if not self.scales or any(scale != k * side for scale, k in zip(self.scales, self.tiles, strict=True)):
            raise UserError(
                f"S2 has scales {self.scales} in tiles of at most {config.split}; expected multiples of the vision "
                f"tower's {side} pixels that are cut into tiles of so many. Use the checkpoint's own config.json."
            )
        self.width *= len(self.scales)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames at the largest scale: (f c H W) -> (f h w d)."""
        grid = self.grid(*pixels.shape[-2:])
        maps = [self._at_scale(pixels, scale, k, grid) for scale, k in zip(self.scales, self.tiles, strict=True)]
        return rearrange(torch.cat(maps, dim=1), "f d h w -> f h w d")

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Count the patches (h, w) of a frame: those of the smallest scale, whatever its size."""
        side = self.scales[0] // self.tiles[0] // self.patch_size * self.tiles[0]
        return side, side

    def _at_scale(self, pixels: Tensor, scale: int, k: int, grid: tuple[int, int]) -> Tensor:
        """Encode frames at one scale, in k x k tiles: (f c H W) -> (f d h w)."""
        scaled = interpolate(pixels.float(), size=(scale, scale), mode="bicubic", align_corners=False)
        tiles = rearrange(scaled.to(pixels.dtype), "f c (i h) (j w) -> (f i j) c h w", i=k, j=k)
        made = torch.cat([self._encode(part) for part in tiles.split(MAX_TILES_PER_FORWARD)])
        whole = rearrange(made, "(f i j) h w d -> f d (i h) (j w)", i=k, j=k)
        return interpolate(whole, size=grid, mode="area")

    def _encode(self, tiles: Tensor) -> Tensor:
        return super().forward(tiles)
