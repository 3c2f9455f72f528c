"""The merger of MiniCPM-V 4.6 and 4.7: neighbouring patches side by side in the channels, then an MLP; repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError
from connectors.patch_merger import squares


class RepeatedMerger(Connector):
    """Squares of patches become one token each, and squares of these again: channels end to end, norm, MLP.

    Odd sides are filled up with the last row or column, which official frame sizes never need.
    """

    source: ClassVar[str] = "MiniCPM-V 4.6, github.com/OpenBMB/MiniCPM-V"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        side: int = 2
        """Rows and columns of patches that become one."""
        rounds: int = 1
        """Times that patches are merged."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if min(config.side, config.rounds) < 1:
            raise ConnectorError(
                f"{type(self).__name__} got side={config.side} and rounds={config.rounds}, expected at least 1 each."
            )
        merged = config.d_vision * config.side**2
        widths = [config.d_vision] * (config.rounds - 1) + [config.d_llm]
        self.mlp = nn.ModuleList(MergedMLP(merged, width) for width in widths)

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the squares of the last round.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        for _ in range(self.config.rounds):
            h, w = -(-h // self.config.side), -(-w // self.config.side)
        return t, h, w

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
        t, h, w = patches.shape[1:4]
        self.grid(t, h, w)
        for mlp in self.mlp:
            h = -(-h // self.config.side)
            patches = rearrange(mlp(squares(patches, self.config.side)), "b (t h w) d -> b t h w d", t=t, h=h)
        return rearrange(patches, "b t h w d -> b (t h w) d")


class MergedMLP(nn.Module):
    """A norm of merged patches, and two linear layers with a GELU between them."""

    def __init__(self, merged: int, width: int) -> None:
        super().__init__()
        self.pre_norm = nn.LayerNorm(merged, eps=1e-6)
        self.linear_1, self.linear_2 = nn.Linear(merged, merged), nn.Linear(merged, width)

    def forward(self, merged: Tensor) -> Tensor:
        """Compute (... merged) -> (... width)."""
        made: Tensor = self.linear_2(F.gelu(self.linear_1(self.pre_norm(merged))))
        return made
