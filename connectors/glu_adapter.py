"""The adapter of CogVLM2-Video: squares of patches through a gated MLP, each frame between two learned vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, silu

from connectors.base import Connector
from connectors.errors import ConnectorError


class GLUAdapter(Connector):
    """Convolution over 2 x 2 patches, gated MLP, and a learned vector in front of and behind each frame's tokens.

    The parameters have the official names after `model.vision.`. An odd row or column at the edge is left out.
    """

    source: ClassVar[str] = "CogVLM2, arXiv 2408.16500"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        d_hidden: int | None = None
        """Width inside the gated MLP; by default 4 times that of the LLM."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        d_hidden = 4 * config.d_llm if config.d_hidden is None else config.d_hidden
        if d_hidden < 1:
            raise ConnectorError(f"{type(self).__name__} got d_hidden={d_hidden}, expected at least 1.")
        self.conv = nn.Conv2d(config.d_vision, config.d_vision, 2, stride=2)
        self.linear_proj = GatedProjection(config.d_vision, config.d_llm, d_hidden)
        self.boi = nn.Parameter(0.02 * torch.randn(1, 1, config.d_llm))
        self.eoi = nn.Parameter(0.02 * torch.randn(1, 1, config.d_llm))

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return frames of one row each: the first vector, the squares in raster order, the last vector.

        Raises:
            ValueError: there is no frame, or fewer than 2 rows or columns.
        """
        self.check_size(t, h, w, least=(1, 2, 2))
        return t, 1, (h // 2) * (w // 2) + 2

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Make the tokens of each frame by itself.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame, or fewer than 2 rows or columns.
        """
        b, t, h, w, _ = patches.shape
        self.grid(t, h, w)
        whole = patches[:, :, : h // 2 * 2, : w // 2 * 2]
        squares = rearrange(whole, "b t (h i) (w j) d -> b t (h w) (d i j)", i=2, j=2)
        # The kernel's squares do not overlap: the convolution is a linear layer.
        tokens = self.linear_proj(linear(squares, self.conv.weight.flatten(1), self.conv.bias))
        first, last = (repeat(end, "1 1 d -> b t 1 d", b=b, t=t) for end in (self.boi, self.eoi))
        return rearrange(torch.cat([first, tokens, last], 2), "b t n d -> b (t n) d")


class GatedProjection(nn.Module):
    """Linear layer to the LLM's width, norm, GELU, and a SwiGLU (arXiv:2002.05202), without biases."""

    def __init__(self, d_vision: int, d_llm: int, d_hidden: int) -> None:
        super().__init__()
        self.linear_proj = nn.Linear(d_vision, d_llm, bias=False)
        self.norm1 = nn.LayerNorm(d_llm)
        self.gate_proj = nn.Linear(d_llm, d_hidden, bias=False)
        self.dense_h_to_4h = nn.Linear(d_llm, d_hidden, bias=False)
        self.dense_4h_to_h = nn.Linear(d_hidden, d_llm, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (... d_vision) -> (... d_llm)."""
        x = gelu(self.norm1(self.linear_proj(x)))
        made: Tensor = self.dense_4h_to_h(silu(self.gate_proj(x)) * self.dense_h_to_4h(x))
        return made
