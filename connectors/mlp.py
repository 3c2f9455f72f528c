"""Connectors without a view of time: an MLP on every patch, or on the mean of the frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError


class MLP(Connector):
    """Linear layers with GELU between them on every patch of every frame; nothing is compressed."""

    source: ClassVar[str] = "LLaVA-1.5, arXiv 2310.03744, github.com/haotian-liu/LLaVA"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        depth: int = 2
        """Linear layers."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.depth < 1:
            raise ConnectorError(f"{type(self).__name__} got depth={config.depth}, expected at least 1.")
        for i in range(config.depth):  # named as in the official nn.Sequential, where the odd ones are GELUs
            self.add_module(str(2 * i), nn.Linear(config.d_llm if i else config.d_vision, config.d_llm))

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the patches: one token each.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return t, h, w

    def project(self, patches: Tensor) -> Tensor:
        """Project features: (... d) -> (... d_llm)."""
        for i, layer in enumerate(self.children()):
            patches = layer(F.gelu(patches) if i else patches)
        return patches

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Project every patch.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame or no patch.
        """
        self.grid(*patches.shape[1:4])
        return rearrange(self.project(patches), "b t h w d -> b (t h w) d")


class MeanMLP(MLP):
    """An MLP on the mean over all frames: `mlp2x_gelu` of VideoLLaMA2."""

    source: ClassVar[str] = "VideoLLaMA2, arXiv 2406.07476, github.com/DAMO-NLP-SG/VideoLLaMA2"

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of one frame, however many there are.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return 1, h, w

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Project the mean of the frames; arguments, result and errors are those of MLP."""
        self.grid(*patches.shape[1:4])
        return self.project(reduce(patches, "b t h w d -> b (h w) d", "mean"))


class MeanLinear(Connector):
    """One linear layer on the mean over all frames: `linear` of VideoLLaMA2."""

    source: ClassVar[str] = MeanMLP.source

    def __init__(self, config: Connector.Config) -> None:
        super().__init__(config)
        layer = nn.Linear(config.d_vision, config.d_llm)
        self.weight, self.bias = layer.weight, layer.bias  # the official module is the layer itself

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of one frame, however many there are.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return 1, h, w

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Project the mean of the frames.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
        Returns:
            (b n d_llm), row-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame or no patch.
        """
        self.grid(*patches.shape[1:4])
        return F.linear(reduce(patches, "b t h w d -> b (h w) d", "mean"), self.weight, self.bias)
