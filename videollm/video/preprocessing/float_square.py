"""Squares cut out of frames that are scaled as floats, bilinearly, without antialiasing and without rounding.

What no decoder and no picture of whole numbers can give; so frames are decoded full-size, and each is scaled by itself.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from videollm.errors import UserError
from videollm.types import FrameBatch
from videollm.video.preprocessing.base import Group, Preprocessing, Shape, normalise
from videollm.video.preprocessing.frame_size import FrameSize

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FloatSquare(Preprocessing):
    """Scale the short side, keep the centre and normalise, as torchvision does to float videos."""

    size: int = 224
    """Side of the square the tower takes."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    numbered: bool = False
    """Write the number of each frame, from 0, behind it."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"FloatSquare.size is {self.size}; expected at least 1.")
        if min(self.std) <= 0:
            raise UserError(f"FloatSquare.std is {self.std}; expected numbers above 0.")

    def frame_size(self) -> FrameSize:
        """Ask for frames as large as they are, their colours converted as official decoders do."""
        return FrameSize(height=1, width=1, mode="budget", exact=True)

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip, (t H W c) float32 from 0 to 255."""
        frames = np.empty((len(batch.frames), self.size, self.size, 3), np.float32)
        for row, frame in zip(frames, batch.frames, strict=True):
            row[...] = self._fit(frame)
        labels = tuple(("", str(i)) for i in range(len(frames))) if self.numbered else ()
        return [Group(pictures=frames, seconds=batch.seconds, labels=labels)]

    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """Return the shape of one group of squares, whatever the frames are."""
        return [Shape(num_frames, self.size, self.size)]

    def pixels(self, pictures: NDArray[Any], device: torch.device | str = "cpu") -> Tensor:
        """Normalise pictures: (t H W c) -> (t c H W) float32 on the device."""
        return normalise(pictures, self.mean, self.std, device)

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (h, w) to which frames of height x width are scaled before the centre is cut out."""
        if width < height:
            return math.floor(height / width * self.size), self.size
        return self.size, math.floor(width / height * self.size)

    def _fit(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scale a frame and cut its centre out: (h w c) -> (H W c); pixels that do not matter are not looked at."""
        size = self.scaled_size(*frame.shape[:2])
        starts = (round((side - self.size) / 2) for side in size)  # halves to the even number
        (top, bottom, y), (left, right, x) = (
            _neighbours(side, scaled, start, self.size)
            for side, scaled, start in zip(frame.shape[:2], size, starts, strict=True)
        )
        square = frame.take([top, bottom], axis=0).take([left, right], axis=2).astype(np.float64)
        rows = square[:, :, 0] * (1 - x[:, None]) + square[:, :, 1] * x[:, None]
        made: NDArray[np.float64] = rows[0] * (1 - y[:, None, None]) + rows[1] * y[:, None, None]
        return made.astype(np.float32)


def _neighbours(
    side: int, scaled: int, start: int, number: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the two pixels of a side between which each of a number of scaled pixels lies, and how far it lies.

    Rounded as torch does it: the ratio to float32, and product and difference at once.
    """
    ratio = np.float64(np.float32(side) / np.float32(scaled))
    at = np.maximum(ratio * (np.arange(start, start + number) + 0.5) - 0.5, 0).astype(np.float32)
    first = at.astype(np.int64)
    return first, np.minimum(first + 1, side - 1), (at - first).astype(np.float64)
