"""VILA's connector: cells of 2 x 2 patches become one token each, in one of two orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError


class MLPDownsample(Connector):
    """Channels of 2 x 2 patches end to end, norm, linear, GELU, linear; odd sides are filled up with zeros.

    The two orders have the same names and shapes of weights: only the version of the code that trained them tells.
    """

    source: ClassVar[str] = "VILA, arXiv 2312.07533; NVILA, arXiv 2412.04468; github.com/NVlabs/VILA"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        order: Literal["rows", "columns"] = "rows"
        """Tokens of a frame row after row (NVILA), or column after column (VILA1.5, LongVILA)."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.order not in ("rows", "columns"):
            raise ConnectorError(f"{type(self).__name__} got order={config.order!r}, expected 'rows' or 'columns'.")
        d = config.d_vision * 4
        # Named as in the official nn.Sequential, whose first module cuts the cells.
        self.layers = nn.Sequential(
            nn.Identity(), nn.LayerNorm(d), nn.Linear(d, config.d_llm), nn.GELU(), nn.Linear(config.d_llm, config.d_llm)
        )

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the cells, whose second axis is that which varies slowest.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        rows, columns = -(-h // 2), -(-w // 2)
        return (t, rows, columns) if self.config.order == "rows" else (t, columns, rows)

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Merge cells of patches.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame or no patch.
        """
        self.grid(*patches.shape[1:4])
        h, w = patches.shape[2:4]
        patches = F.pad(patches, (0, 0, 0, w % 2, 0, h % 2))
        tokens = "h w" if self.config.order == "rows" else "w h"
        cells = rearrange(patches, f"b t (h i) (w j) d -> b (t {tokens}) (i j d)", i=2, j=2)
        made: Tensor = self.layers(cells)
        return made
