"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545) as timm and OpenCLIP name its weights, without head and last norm.

SHAPES  f frames, c channels, H W pixels, h w grid of a stage, d features of a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu

STEM: Final = 4
"""Pixels per side of a patch of the first stage; every further stage halves its grid."""


class ConvNeXt(nn.Module):
    """The features of every stage.

    Args:
        depths: blocks of each stage.
        widths: features of each stage.
    """

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], STEM, stride=STEM), Norm(widths[0]))
        self.stages = nn.ModuleList(
            Stage(before, width, depth)
            for before, width, depth in zip((widths[0], *widths[:-1]), widths, depths, strict=True)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Encode frames: (f c H W) -> (f h w d) of every stage."""
        x = self.stem(pixels)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(rearrange(x, "f d h w -> f h w d"))
        return maps


class Norm(nn.LayerNorm):
    """A norm over the channels of maps (f d h w)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (f d h w) -> (f d h w)."""
        made: Tensor = rearrange(super().forward(rearrange(x, "f d h w -> f h w d")), "f h w d -> f d h w")
        return made


class Stage(nn.Module):
    """Downsampling, where the width changes, and blocks."""

    def __init__(self, before: int, width: int, depth: int) -> None:
        super().__init__()
        self.downsample = (
            nn.Identity() if before == width else nn.Sequential(Norm(before), nn.Conv2d(before, width, 2, stride=2))
        )
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Run the stage: (f d h w) -> (f d' h' w')."""
        made: Tensor = self.blocks(self.downsample(x))
        return made


class Block(nn.Module):
    """A depthwise convolution, then an MLP on every place, scaled and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block: (f d h w) -> (f d h w)."""
        inside: Tensor = self.mlp(self.norm(rearrange(self.conv_dw(x), "f d h w -> f h w d"))) * self.gamma
        return x + rearrange(inside, "f h w d -> f d h w")


class MLP(nn.Module):
    """Two linear layers with a GELU between them, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (... d) -> (... d)."""
        made: Tensor = self.fc2(gelu(self.fc1(x)))
        return made
