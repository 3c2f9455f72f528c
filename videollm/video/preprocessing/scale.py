"""From decoded pictures to uint8 RGB at the size asked for, upright.

Scaling happens in the decoder (swscale, bicubic with a support that grows with the ratio), at once with the colour
conversion: a full-size RGB frame never exists. `transform.py` states how far that is from PIL's bicubic, which is what
official checkpoints were made with: `exact` sizes use it, one full frame at a time.

SHAPES  h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

INTERPOLATION: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
"""Closest to PIL's bicubic; 0.7 ms a 1080p frame dearer than bilinear, a thirtieth of decoding it."""


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
            raise ValueError(f"FrameSize is {got}; expected at least 1 each.")
        if self.mode not in ("squash", "shortest_edge", "area"):
            raise ValueError(f"FrameSize.mode is {self.mode!r}; expected 'squash', 'shortest_edge' or 'area'.")


def target_size(size: FrameSize | None, height: int, width: int) -> tuple[int, int]:
    """(h, w) that frames of height x width (upright) are scaled to."""
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
    """(h, w) of the ratio given and of the area of a square; rounded as MiniCPM-V does."""
    ratio = width / height
    height = int(side / math.sqrt(ratio))
    return height, int(height * ratio)


def round_sides(height: float, width: float, multiple: int) -> tuple[int, int]:
    """The nearest multiples, at least one each."""
    h, w = (max(round(side / multiple) * multiple, multiple) for side in (height, width))
    return h, w


def resize_frame(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """PIL bicubic: (h w c) uint8 -> (height width c) uint8."""
    if frame.shape[:2] == (height, width):
        return frame
    from PIL import Image  # loaded by those who need it

    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def quarter_turns(frame: VideoFrame) -> int:
    """Counterclockwise quarter turns that bring a frame upright; none where its display matrix is no rotation."""
    return round(frame.rotation / 90) % 4 if abs(frame.rotation) <= 360 else 0


class Scaler:
    """Writes frames into RGB arrays; holds one swscale context, so it belongs to one thread."""

    def __init__(self, size: FrameSize | None) -> None:
        self._reformatter = VideoReformatter()
        self._exact = size is not None and size.exact

    def write(self, frame: VideoFrame, out: NDArray[np.uint8]) -> None:
        """Convert, scale and turn a frame.

        Args:
            frame: decoded picture, as stored.
            out: (h w c), overwritten.
        """
        turns = quarter_turns(frame)
        height, width = out.shape[:2] if turns % 2 == 0 else out.shape[1::-1]
        interpolation = INTERPOLATION
        if self._exact:  # swscale's default arithmetic is what decord and OpenCV convert colours with
            height, width, interpolation = frame.height, frame.width, Interpolation.BICUBIC
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=interpolation, threads=1)
        plane: Any = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, : width * 3]
        out[...] = resize_frame(np.rot90(rows.reshape(height, width, 3), turns), *out.shape[:2])
