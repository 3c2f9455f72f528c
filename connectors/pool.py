"""Pooling baselines: an MLP on every patch, then averages over time and space."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from connectors.errors import ConnectorError
from connectors.mlp import MLP


class GroupMean(MLP):
    """Means of groups of neighbouring frames and patches; the last group, if it is not full, is averaged as it is."""

    source: ClassVar[str] = "Temporal-spatial pooling of NVILA, arXiv 2412.04468, github.com/NVlabs/VILA"

    @dataclass(frozen=True, kw_only=True)
    class Config(MLP.Config):
        """Hyper-parameters."""

        group_frames: int = 4
        """Neighbouring frames averaged into one."""
        group_height: int = 1
        """Neighbouring rows of patches averaged into one."""
        group_width: int = 1
        """Neighbouring columns of patches averaged into one."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.group = (config.group_frames, config.group_height, config.group_width)
        if min(self.group) < 1:
            raise ConnectorError(
                f"GroupMean got groups of {self.group} (frames, height, width), expected at least 1 each."
            )

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the groups.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        frames, height, width = self.group
        return ceil(t / frames), ceil(h / height), ceil(w / width)

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Project every patch, then average; arguments, result and errors are those of MLP."""
        self.grid(*patches.shape[1:4])
        x = self.project(patches)
        return self._mean(x) / self._mean(torch.ones_like(x[:1, ..., :1]))

    def _mean(self, x: Tensor) -> Tensor:
        """Average groups, those that are not full filled up with zeros: (b t h w d) -> (b n d)."""
        t, h, w = (-size % group for size, group in zip(x.shape[1:4], self.group, strict=True))
        i, j, k = self.group
        x = F.pad(x, (0, 0, 0, w, 0, h, 0, t))
        return reduce(x, "b (t i) (h j) (w k) d -> b (t h w) d", "mean", i=i, j=j, k=k)


class AdaptivePool(MLP):
    """Average pooling to at most a given number of frames and patches: a bounded token count for any clip."""

    source: ClassVar[str] = "PLLaVA, arXiv 2404.16994, github.com/magic-research/PLLaVA"

    @dataclass(frozen=True, kw_only=True)
    class Config(MLP.Config):
        """Hyper-parameters."""

        max_frames: int = 16
        """Frames left; a shorter clip keeps its own."""
        max_height: int = 12
        """Rows of patches left."""
        max_width: int = 12
        """Columns of patches left."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.bounds = (config.max_frames, config.max_height, config.max_width)
        if min(self.bounds) < 1:
            raise ConnectorError(
                f"AdaptivePool got at most {self.bounds} (frames, height, width), expected at least 1 each."
            )

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the frames and places that are left.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        frames, height, width = self.bounds
        return min(t, frames), min(h, height), min(w, width)

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Project every patch, then pool; arguments, result and errors are those of MLP."""
        grid = self.grid(*patches.shape[1:4])
        x = rearrange(self.project(patches), "b t h w d -> b d t h w")
        x = F.adaptive_avg_pool3d(x, grid)
        return rearrange(x, "b d t h w -> b (t h w) d")
