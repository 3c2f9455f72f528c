"""DiffFP of VideoLLaMA3: patches that look as they did in the frame before become no tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from connectors.base import Connector, Tokens
from connectors.errors import ConnectorError


class DiffFP(Connector):
    """Frames at half the height and width, less the places where pixels hardly change, then an MLP."""

    source: ClassVar[str] = "VideoLLaMA3, arXiv 2501.13106, github.com/DAMO-NLP-SG/VideoLLaMA3"
    varies: ClassVar[bool] = True
    needs = ("pixel_change",)

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters."""

        side: int = 2
        """Rows and columns of patches that become one token."""
        threshold: float = 0.1
        """Mean change of normalised pixels, times 255, above which a token is kept; below 0 keeps all."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.side < 1:
            raise ConnectorError(f"{type(self).__name__} got side={config.side}, expected at least 1.")
        self.readout = nn.Sequential(
            nn.Linear(config.d_vision, config.d_llm), nn.GELU(), nn.Linear(config.d_llm, config.d_llm)
        )

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the places, some of which become no token.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return t, -(-h // self.config.side), -(-w // self.config.side)

    def forward(  # type: ignore[override]
        self, patches: Tensor, seconds: Tensor, extra: dict[str, Tensor]
    ) -> list[Tokens]:
        """Shrink frames, drop what did not change, and project.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
            extra: `pixel_change`, (b t h w c), against the frame before; that of first frames is not read.
        Returns:
            Tokens (n d_llm) with their places, of every clip, time-major; n <= self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame or no patch.
        """
        b = len(patches)
        _, h, w = self.grid(*patches.shape[1:4])
        x = F.interpolate(rearrange(patches, "b t h w d -> (b t) d h w"), size=(h, w), mode="bilinear")
        x = rearrange(x, "(b t) d h w -> b t h w d", b=b)
        keep = self._changed(extra["pixel_change"], h, w)
        places = [torch.stack(of_clip.nonzero(as_tuple=True), -1) for of_clip in keep]
        side = torch.tensor([1, self.config.side, self.config.side], device=x.device)
        return [
            Tokens(tokens=self.readout(frames[kept]), places=place * side)
            for frames, kept, place in zip(x, keep, places, strict=True)
        ]

    def _changed(self, change: Tensor, h: int, w: int) -> Tensor:
        """Tell which places are kept, all of the first frame and one of each other at least: (b t h w) bool."""
        b = len(change)
        mean = rearrange(change.float().mean(-1), "b t h w -> (b t) 1 h w")
        changed = rearrange(F.adaptive_avg_pool2d(mean, (h, w)), "(b t) 1 h w -> b t h w", b=b) > self.config.threshold
        changed[:, 0] = True
        changed[..., 0, 0] |= ~changed.any(-1).any(-1)
        return changed
