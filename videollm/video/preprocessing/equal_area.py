"""Frames at their own ratio and one area, each between words of its own: videos of MiniCPM-V 4.6 and 4.7.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videollm.errors import UserError
from videollm.types import FrameBatch
from videollm.video.preprocessing.base import Group, Preprocessing, Shape, normalise
from videollm.video.preprocessing.frame_size import FrameSize, resize_frames, target_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EqualArea(Preprocessing):
    """Scale frames as `FrameSize.mode` area does."""

    side: int = 448
    """Side of the square whose area a frame gets."""
    multiple: int = 56
    """Sides of frames are multiples of it: those of a patch times those of all merged windows."""
    before: str = ""
    """Written in front of every frame, or of the clip where the connector does not keep frames apart."""
    after: str = ""
    """Written behind it."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if min(self.side, self.multiple) < 1 or min(self.std) <= 0:
            raise UserError(f"{self} has a size below 1 or an std of 0; expected at least 1, and numbers above 0.")

    def frame_size(self) -> FrameSize:
        """Ask for the frames' own ratio at the area of the square."""
        return FrameSize(
            height=self.side, width=self.side, mode="area", multiple=self.multiple, exact=True, filter="torch"
        )

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip."""
        size = target_size(self.frame_size(), *batch.frames.shape[1:3])
        words = (self.before, self.after)
        return [
            Group(
                pictures=resize_frames(batch.frames, *size, "torch"),
                seconds=batch.seconds,
                before=self.before,
                after=self.after,
                labels=(words,) * len(batch.frames),
            )
        ]

    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """Return the shape of one group of all frames."""
        return [Shape(num_frames, *target_size(self.frame_size(), height, width))]

    def pixels(self, pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """Normalise pictures: (t H W c) uint8 -> (t c H W) float32 on the device."""
        return normalise(pictures, self.mean, self.std, device, fused=True)
