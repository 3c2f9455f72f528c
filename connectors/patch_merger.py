"""The merger of Qwen-VL: neighbouring patches side by side in the channels, then an MLP; one per inner layer too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from connectors.base import Connector, Tokens
from connectors.errors import ConnectorError


class PatchMerger(Connector):
    """Squares of patches become one token each: norm, channels end to end, linear, GELU, linear.

    Odd sides are filled up with the last row or column, which official frame sizes never need.
    """

    source: ClassVar[str] = "Qwen2-VL, arXiv 2409.12191; Qwen2.5-VL, arXiv 2502.13923"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        side: int = 2
        """Rows and columns of patches that become one token."""
        norm: Literal["rms", "layer"] = "rms"
        """Norm of patches before they are merged (Qwen2.5-VL has `rms`, Qwen2-VL `layer`)."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.side < 1 or config.norm not in ("rms", "layer"):
            raise ConnectorError(
                f"{type(self).__name__} got side={config.side} and norm={config.norm!r}, expected at least 1, and "
                "'rms' or 'layer'."
            )
        d = config.d_vision * config.side**2
        norm = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
        self.ln_q = norm(config.d_vision, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, config.d_llm))

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
        made: Tensor = self.mlp(squares(self.ln_q(patches), self.config.side))
        return made


class DeepPatchMerger(Connector):
    """A merger for the last layer, and one per inner layer, whose tokens go to the LLM's first layers (deepstack)."""

    source: ClassVar[str] = "Qwen3-VL, arXiv 2511.21631; DeepStack, arXiv 2406.04334"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        side: int = 2
        """Rows and columns of patches that become one token."""
        layers: tuple[int, ...] = (9, 17, 25)
        """Hidden states of the tower that go to the LLM's first layers; 1 is that of the first layer."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.side < 1 or min(config.layers, default=1) < 1:
            raise ConnectorError(
                f"{type(self).__name__} got side={config.side} and layers={config.layers}, expected at least 1 each."
            )
        self.needs = tuple(f"layer:{i}" for i in config.layers)
        merged = config.d_vision * config.side**2
        self.merger = Merger(config.d_vision, merged, config.d_llm)
        self.deepstack_merger_list = nn.ModuleList(Merger(merged, merged, config.d_llm) for _ in config.layers)

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the squares.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return t, -(-h // self.config.side), -(-w // self.config.side)

    def forward(  # type: ignore[override]
        self, patches: Tensor, seconds: Tensor, extra: dict[str, Tensor]
    ) -> list[Tokens]:
        """Merge squares of patches of the last layer and of the inner ones.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
            extra: features of the inner layers, (b t h w d) each.
        Returns:
            Tokens (n d_llm) with deep (l n d_llm) of every clip, time-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame or no patch.
        """
        self.grid(*patches.shape[1:4])
        side = self.config.side
        tokens = self.merger(squares(self.merger.norm(patches), side), normed=True)
        if not self.needs:
            return [Tokens(tokens=made) for made in tokens]
        mergers = zip(self.needs, self.deepstack_merger_list.children(), strict=True)
        inner = torch.stack([merger(squares(extra[name], side), normed=False) for name, merger in mergers], dim=1)
        return [Tokens(tokens=made, deep=deep) for made, deep in zip(tokens, inner, strict=True)]


class Merger(nn.Module):
    """A norm, whose place is before or after patches are merged, and two linear layers with a GELU between them."""

    def __init__(self, normed: int, merged: int, d_llm: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(normed, eps=1e-6)
        self.linear_fc1, self.linear_fc2 = nn.Linear(merged, merged), nn.Linear(merged, d_llm)

    def forward(self, merged: Tensor, *, normed: bool) -> Tensor:
        """Compute (... merged) -> (... d_llm)."""
        made: Tensor = self.linear_fc2(F.gelu(self.linear_fc1(merged if normed else self.norm(merged))))
        return made


def squares(patches: Tensor, side: int) -> Tensor:
    """Lay the patches of each square end to end, row by row: (b t h w d) -> (b (t h' w') (side side d))."""
    h, w = (-size % side for size in patches.shape[2:4])
    if h or w:
        b = patches.shape[0]
        x = F.pad(rearrange(patches, "b t h w d -> (b t) d h w"), (0, w, 0, h), mode="replicate")
        patches = rearrange(x, "(b t) d h w -> b t h w d", b=b)
    return rearrange(patches, "b t (h i) (w j) d -> b (t h w) (i j d)", i=side, j=side)
