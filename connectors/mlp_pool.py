"""The projectors of LLaVA on videos: an MLP on patches, smaller grids, and a learned token for the end of a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError

POOLS: Final[dict[str, Callable[[Tensor, int], Tensor]]] = {
    "average": lambda x, side: F.avg_pool2d(x, side),
    "max": lambda x, side: F.max_pool2d(x, side),
}
"""Name -> function of (f d h w) and the side of a pooled square; what is left over at the edges is dropped."""


class MLPPool(Connector):
    """Linear, GELU, linear on every patch; grids pooled before or after it; a learned token behind clip, frame or row.

    `bilinear` resizes to 1 / side, rounded up; `average` and `max` pool whole squares.
    """

    source: ClassVar[str] = "LLaVA-OneVision, arXiv 2408.03326; LLaVA-Video, arXiv 2410.02713"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        pool: Literal["bilinear", "average", "max"] = "bilinear"
        """How grids become smaller."""
        side: int = 2
        """Rows and columns of patches that become one."""
        first: bool = False
        """Whether to pool before the MLP (LLaVA-NeXT-Video of transformers)."""
        newline: Literal["none", "clip", "frame", "row"] = "clip"
        """After what the learned token is written."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        pools, newlines = ("bilinear", *POOLS), ("none", "clip", "frame", "row")
        if config.side < 1 or config.pool not in pools or config.newline not in newlines:
            raise ConnectorError(
                f"{type(self).__name__} got side={config.side}, pool={config.pool!r} and newline={config.newline!r}, "
                f"expected at least 1, one of {', '.join(pools)}, and one of {', '.join(newlines)}."
            )
        self.linear_1 = nn.Linear(config.d_vision, config.d_llm)
        self.linear_2 = nn.Linear(config.d_llm, config.d_llm)
        if config.newline != "none":
            self.image_newline = nn.Parameter(torch.randn(config.d_llm) * config.d_llm**-0.5)

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int] | None:
        """Return the grid of the pooled frames, with the learned tokens as last column; None where they fit in none.

        Raises:
            ValueError: there is no frame, or no square of patches.
        """
        t, h, w = self._pooled(t, h, w)
        return {"none": (t, h, w), "row": (t, h, w + 1)}.get(self.config.newline)

    def num_tokens(self, t: int, h: int, w: int) -> int:
        """Count the visual tokens.

        Raises:
            ValueError: there is no frame, or no square of patches.
        """
        t, h, w = self._pooled(t, h, w)
        return t * h * w + {"none": 0, "clip": 1, "frame": t, "row": t * h}[self.config.newline]

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Project and pool frames.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame, or no square of patches.
        """
        self._pooled(*patches.shape[1:4])
        x = self._project(self._pool(patches)) if self.config.first else self._pool(self._project(patches))
        b, t, h, _, _ = x.shape
        if self.config.newline == "row":
            x = torch.cat([x, repeat(self.image_newline, "d -> b t h 1 d", b=b, t=t, h=h)], dim=3)
        tokens = rearrange(x, "b t h w d -> b t (h w) d")
        if self.config.newline == "frame":
            tokens = torch.cat([tokens, repeat(self.image_newline, "d -> b t 1 d", b=b, t=t)], dim=2)
        tokens = rearrange(tokens, "b t n d -> b (t n) d")
        if self.config.newline == "clip":
            tokens = torch.cat([tokens, repeat(self.image_newline, "d -> b 1 d", b=b)], dim=1)
        return tokens

    def _pooled(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        side = self.config.side
        if self.config.pool == "bilinear":
            self.check_size(t, h, w)
            return t, -(-h // side), -(-w // side)
        self.check_size(t, h, w, least=(1, side, side))
        return t, h // side, w // side

    def _project(self, patches: Tensor) -> Tensor:
        made: Tensor = self.linear_2(F.gelu(self.linear_1(patches)))
        return made

    def _pool(self, patches: Tensor) -> Tensor:
        b = patches.shape[0]
        x = rearrange(patches, "b t h w d -> (b t) d h w").contiguous()
        if self.config.pool == "bilinear":
            size = tuple(-(-s // self.config.side) for s in x.shape[2:])
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        else:
            x = POOLS[self.config.pool](x, self.config.side)
        return rearrange(x, "(b t) d h w -> b t h w d", b=b)
