"""The projector of InternVL: neighbouring patches side by side in the channels, a norm over them, then an MLP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError
from connectors.patch_merger import squares


class PixelShuffleMLP(Connector):
    """Squares of patches become one token each: channels end to end, norm, linear, GELU, linear.

    Odd sides are filled up with the last row or column, which official frame sizes never need.
    """

    source: ClassVar[str] = "InternVL 1.5, arXiv 2404.16821, github.com/OpenGVLab/InternVL"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        side: int = 2
        """Rows and columns of patches that become one token."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.side < 1:
            raise ConnectorError(f"{type(self).__name__} got side={config.side}, expected at least 1.")
        merged = config.d_vision * config.side**2
        self.layer_norm = nn.LayerNorm(merged)
        self.linear_1, self.linear_2 = nn.Linear(merged, config.d_llm), nn.Linear(config.d_llm, config.d_llm)

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the squares.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return t, -(-h // self.config.side), -(-w // self.config.side)

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Merge squares of patches.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame or no patch.
        """
        self.grid(*patches.shape[1:4])
        made: Tensor = self.linear_2(F.gelu(self.linear_1(self.layer_norm(squares(patches, self.config.side)))))
        return made
