"""Patch info mining: every patch of a low resolution attends to the finer features of its own cell of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError


class PatchMining(Connector):
    """One token per patch, which looked at side x side features of a second tower, then two linear layers.

    It needs the second tower's stages, `aux:0` (the finest), `aux:1`, ..., and where frames are cut into pieces,
    `whole`, the first tower's features of the whole frame, whose tokens come first.
    """

    source: ClassVar[str] = "Mini-Gemini, arXiv 2403.18814, github.com/dvlab-research/MGM"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        widths: tuple[int, ...] = ()
        """Features of the second tower's stages; () is one stage as wide as the first tower's features."""
        side: int = 8
        """Rows and columns of finer features that a patch looks at."""
        pieces: int = 1
        """Pieces per side that the tower cuts frames into."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.side < 1 or config.pieces < 1:
            raise ConnectorError(
                f"{type(self).__name__} got side={config.side} and pieces={config.pieces}, expected at least 1 each."
            )
        d, widths = config.d_vision, config.widths or (config.d_vision,)
        self.stages = tuple(f"aux:{i}" for i in range(len(widths)))
        self.needs = self.stages + (("whole",) if config.pieces > 1 else ())
        self.query = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d))
        self.key, self.value = (nn.Sequential(nn.LayerNorm(sum(widths)), nn.Linear(sum(widths), d)) for _ in range(2))
        self.projector = nn.Sequential(nn.Linear(d, config.d_llm), nn.GELU(), nn.Linear(config.d_llm, config.d_llm))

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int] | None:
        """Return the grid of the patches; pieces and the whole lie in none.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return (t, h, w) if self.config.pieces == 1 else None

    def num_tokens(self, t: int, h: int, w: int) -> int:
        """Count the tokens: one per patch of all pieces, and of the whole.

        Raises:
            ValueError: there is no frame or no patch, or the patches are not those of so many pieces.
        """
        self.check_size(t, h, w)
        g = self.config.pieces
        if h % g or w % g:
            raise ConnectorError(f"{type(self).__name__} got h={h} and w={w}, expected multiples of {g}, its pieces.")
        return t * (h * w + (h // g * (w // g) if g > 1 else 0))

    def forward(self, patches: Tensor, seconds: Tensor, extra: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        """Mine the second tower's features, frame by frame, so that they are never held at full size for all.

        Args:
            patches: (b t h w d), the first tower's features, frames in time order.
            seconds: (b t), not used.
            extra: the second tower's stages, (b t h' w' d') each, and `whole`, (b t h" w" d).
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w). In each frame the whole comes before the pieces,
            which follow each other row by row.
        Raises:
            ValueError: as `num_tokens`.
        """
        self.num_tokens(*patches.shape[1:4])
        b, _, h, w, _ = patches.shape
        g, side = self.config.pieces, self.config.side
        frames = []
        for i, frame in enumerate(rearrange(patches, "b t h w d -> (b t) h w d")):
            stages = [rearrange(extra[name], "b t h w d -> (b t) h w d")[i] for name in self.stages]
            fine = self.fine(stages, h, w)
            mined = rearrange(self.mine(frame, fine), "(i h) (j w) d -> (i j h w) d", i=g, j=g)
            if g > 1:
                whole = rearrange(extra["whole"], "b t h w d -> (b t) h w d")[i]
                coarse = _resized(fine, whole.shape[0] * side, whole.shape[1] * side)
                mined = torch.cat([rearrange(self.mine(whole, coarse), "h w d -> (h w) d"), mined])
            frames.append(mined)
        made: Tensor = self.projector(rearrange(torch.stack(frames), "(b t) n d -> b (t n) d", b=b))
        return made

    def fine(self, stages: Sequence[Tensor], h: int, w: int) -> Tensor:
        """Lay the second tower's stages (h' w' d') side by side at one size: (1 d' (h side) (w side))."""
        maps = [rearrange(stage, "h w d -> 1 d h w") for stage in stages]
        return torch.cat([_resized(m, h * self.config.side, w * self.config.side) for m in maps], dim=1)

    def mine(self, patches: Tensor, fine: Tensor) -> Tensor:
        """Add to each patch what it finds in its cell: (h w d), (1 d' (h side) (w side)) -> (h w d)."""
        cells = rearrange(
            fine, "1 d (h i) (w j) -> h w (i j) d", h=len(patches), i=self.config.side, j=self.config.side
        )
        scores = einsum(self.query(patches), self.key(cells), "h w d, h w n d -> h w n") / patches.shape[-1] ** 0.5
        found: Tensor = einsum(scores.softmax(dim=-1), self.value(cells), "h w n, h w n d -> h w d")
        return patches + found


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    if maps.shape[-2:] == (height, width):
        return maps
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
