"""VILA's connectors: cells of 2 x 2 or 3 x 3 patches become one token each, in one of two orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from einops import repeat
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError


class MLPDownsample(Connector):
    """Channels of a cell end to end, norm, linear, GELU, linear; cells at the edges are filled up with zeros.

    Cells of 3 x 3 have a norm, a linear layer and a GELU more. The two orders have the same names and shapes of
    weights: only the version of the code that trained them tells.
    """

    source: ClassVar[str] = "VILA, arXiv 2312.07533; NVILA, arXiv 2412.04468; github.com/NVlabs/VILA"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        order: Literal["rows", "columns"] = "rows"
        """Tokens of a frame row after row (NVILA), or column after column (VILA1.5, LongVILA)."""
        side: Literal[2, 3] = 2
        """Rows and columns of patches in a cell."""
        copies: int = 1
        """How often the channels of a patch are laid end to end: for scales of which a video frame has one (NVILA)."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.order not in ("rows", "columns") or config.side not in (2, 3) or config.copies < 1:
            raise ConnectorError(
                f"{type(self).__name__} got order={config.order!r}, side={config.side} and copies={config.copies}, "
                "expected 'rows' or 'columns', 2 or 3, and at least 1."
            )
        d, inner = config.d_vision * config.copies, config.d_llm
        layers: list[nn.Module] = [nn.Identity(), nn.LayerNorm(d * config.side**2)]
        if config.side == 3:
            layers += [nn.Linear(d * 9, d * 3), nn.GELU(), nn.LayerNorm(d * 3), nn.Linear(d * 3, inner)]
        else:
            layers += [nn.Linear(d * 4, inner)]
        # Named as in the official nn.Sequential, whose first module cuts the cells.
        self.layers = nn.Sequential(*layers, nn.GELU(), nn.Linear(inner, inner))

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the cells, whose second axis is that which varies slowest.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        rows, columns = -(-h // self.config.side), -(-w // self.config.side)
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
        side, copies = self.config.side, self.config.copies
        patches = F.pad(patches, (0, 0, 0, -w % side, 0, -h % side))
        tokens = "h w" if self.config.order == "rows" else "w h"
        cells = repeat(patches, f"b t (h i) (w j) d -> b (t {tokens}) (i j c d)", i=side, j=side, c=copies)
        made: Tensor = self.layers(cells)
        return made
