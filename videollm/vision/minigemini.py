"""The two towers of Mini-Gemini (arXiv:2403.18814): CLIP for the tokens, ConvNeXt for what they mine.

SHAPES  f frames, c channels, H W pixels, h w patches of CLIP, d features of CLIP, g pieces per side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from videollm.vision.clip import ClipTower
from videollm.vision.convnext import ConvNeXt
from videollm.vision.tower import VisionTower

WHOLE: Final = "whole"


class MiniGeminiTower(ClipTower):
    """Features of CLIP, which sees frames scaled down; on request those of ConvNeXt, which sees them as they come.

    It offers `aux:0`, `aux:1`, ... (f h' w' d'), the features of ConvNeXt's stages, and where frames are cut into
    pieces, `whole`, the features of CLIP for the whole frame.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(VisionTower.Config):
        """Settings of the towers."""

        depths: tuple[int, ...] = (3, 3, 27, 3)
        """Blocks of ConvNeXt's stages."""
        widths: tuple[int, ...] = (192, 384, 768, 1536)
        """Features of ConvNeXt's stages."""
        pieces: int = 1
        """Pieces per side that a frame is cut into, each of CLIP's own picture size."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.side, self.pieces = int(config.config["image_size"]), config.pieces
        self.aux = ConvNeXt(config.depths, config.widths)
        self.offers = tuple(f"aux:{i}" for i in range(len(config.widths)))
        if self.pieces > 1:
            self.offers += (WHOLE,)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames by CLIP alone: (f c H W) -> (f h w d), pieces laid side by side."""
        return self._encode_pieces(self.scale(pixels, self.side * self.pieces))

    def encode(self, pixels: Tensor, needs: Sequence[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode frames, by ConvNeXt too where its features are needed."""
        pictures = self.scale(pixels, self.side * self.pieces)
        extra = {}
        if WHOLE in needs:
            extra[WHOLE] = super().forward(self.scale(pictures, self.side))
        if any(name != WHOLE for name in needs):
            maps = dict(zip(self.offers, self.aux(pixels), strict=False))
            extra |= {name: maps[name] for name in needs if name in maps}
        return self._encode_pieces(pictures), extra

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Count the patches (h, w) of CLIP, whatever the size of a frame."""
        side = self.side // self.patch_size * self.pieces
        return side, side

    @staticmethod
    def scale(pixels: Tensor, side: int) -> Tensor:
        """Scale frames to squares, without antialiasing: (f c H W) -> (f c side side)."""
        made = interpolate(pixels.float(), size=(side, side), mode="bilinear", align_corners=False)
        return made.to(pixels.dtype)

    def _encode_pieces(self, pictures: Tensor) -> Tensor:
        g = self.pieces
        cut = rearrange(pictures, "f c (i h) (j w) -> (f i j) c h w", i=g, j=g)
        return rearrange(super().forward(cut), "(f i j) h w d -> f (i h) (j w) d", i=g, j=g)
