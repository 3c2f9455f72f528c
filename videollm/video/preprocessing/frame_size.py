"""Sizes that frames are scaled to, and PIL's way of scaling them.

Most frames are scaled where they are decoded (`decoding/scaler.py`); official checkpoints were made with PIL's bicubic,
which `exact` sizes use, one full frame at a time. `square.py` states how far the two are apart.

SHAPES  t frames, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from videollm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FrameSize:
    """Size asked of the decoder, after display rotation."""

    height: int
    width: int
    mode: Literal["squash", "shortest_edge", "area"] = "squash"
    """`squash` gives height x width. `shortest_edge` keeps the ratio, the short side becomes `height`. `area` keeps the
    ratio but for rounding both sides to a `multiple`, the area becomes height * width."""
    multiple: int = 1
    """Sides of `area` are multiples of it."""
    exact: bool = False
    """Scale with PIL's bicubic, bit for bit."""
    keep_stills: bool = False
    """Leave still images as large as they are."""

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.multiple) < 1:
            got = f"{self.height} x {self.width}, multiple {self.multiple}"
            raise UserError(f"FrameSize is {got}; expected at least 1 each.")
        if self.mode not in ("squash", "shortest_edge", "area"):
            raise UserError(f"FrameSize.mode is {self.mode!r}; expected 'squash', 'shortest_edge' or 'area'.")


def target_size(size: FrameSize | None, height: int, width: int) -> tuple[int, int]:
    """Return the (h, w) that frames of height x width (upright) are scaled to."""
    if size is None:
        return height, width
    if size.mode == "squash":
        return size.height, size.width
    if size.mode == "area":
        return round_sides(*area_size(math.sqrt(size.height * size.width), height, width), size.multiple)
    if height <= width:
        return size.height, max(1, int(size.height * width / height))
    return max(1, int(size.height * height / width)), size.height


def area_size(side: float, height: float, width: float) -> tuple[int, int]:
    """Return the (h, w) of the given ratio and a square's area, rounded as MiniCPM-V does."""
    ratio = width / height
    height = int(side / math.sqrt(ratio))
    return height, int(height * ratio)


def round_sides(height: float, width: float, multiple: int) -> tuple[int, int]:
    """Return the nearest multiples, each at least one multiple."""
    h, w = (max(round(side / multiple) * multiple, multiple) for side in (height, width))
    return h, w


def resize_frame(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize as PIL's bicubic does: (h w c) uint8 -> (height width c) uint8."""
    if frame.shape[:2] == (height, width):
        return frame
    from PIL import Image  # loaded by those who need it

    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def resize_frames(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize frame by frame, as PIL's bicubic does: (t h w c) uint8 -> (t height width c) uint8."""
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for row, frame in zip(out, frames, strict=True):
        row[...] = resize_frame(frame, height, width)
    return out
