"""Sizes that frames are scaled to, and the ways of scaling them that official checkpoints were made with.

Most frames are scaled where they are decoded (`decoding/scaler.py`); official checkpoints were made with PIL's bicubic
or torch's, which `exact` sizes use, one full frame at a time. `square.py` states how far scaler and PIL are apart; PIL
and torch differ by up to 2 of 255 in less than one value of 300.

SHAPES  t frames, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from videollm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FrameSize:
    """Size asked of the decoder, after display rotation."""

    height: int
    width: int
    mode: Literal["squash", "shortest_edge", "fit", "area", "budget"] = "squash"
    """`squash` gives height x width. `shortest_edge` keeps the ratio, the short side becomes `height`. `fit` keeps the
    ratio, the long side becomes `height` where it is larger. `area` keeps the ratio but for rounding both sides to a
    `multiple`, the area becomes height * width. `budget` keeps the frame's own size but for that rounding, within the
    numbers of pixels below; height and width mean nothing."""
    multiple: int = 1
    """Sides of `area` and `budget` are multiples of it."""
    exact: bool = False
    """Scale as the `filter` does, bit for bit."""
    filter: Literal["pil", "torch", "lanczos_fitted"] = "pil"
    """Bicubic of PIL, or of torch with antialiasing, on uint8; or torch's Lanczos twice, first at the frame's own ratio
    to the longer side asked for and an even shorter one, then to the size asked for."""
    keep_stills: bool = False
    """Leave still images as large as they are."""
    min_pixels: int = 1
    """Least area of a frame (of `budget`)."""
    max_pixels: int = 2**62
    """Largest area of a frame."""
    total_pixels: int = 2**62
    """Area of all frames of a clip together, at most; a frame may have `slack` times `min_pixels` all the same."""
    slack: float = 1.05
    """0 shares the area out in whole pixels, with no exception for small frames."""
    frames_bound: bool = False
    """Whether all pixels of a clip, and not those of each frame, must lie between `min_pixels` and `total_pixels`."""
    num_frames: int = 1
    """Frames of the clip, which share the budget."""

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.multiple) < 1:
            got = f"{self.height} x {self.width}, multiple {self.multiple}"
            raise UserError(f"FrameSize is {got}; expected at least 1 each.")
        if self.mode not in (modes := ("squash", "shortest_edge", "fit", "area", "budget")):
            raise UserError(f"FrameSize.mode is {self.mode!r}; expected one of {', '.join(modes)}.")
        if self.filter not in ("pil", "torch", "lanczos_fitted"):
            raise UserError(f"FrameSize.filter is {self.filter!r}; expected 'pil', 'torch' or 'lanczos_fitted'.")

    def of_clip(self, num_frames: int) -> FrameSize:
        """Return the size of the frames of a clip that has this number of them."""
        return replace(self, num_frames=num_frames)


def target_size(size: FrameSize | None, height: int, width: int) -> tuple[int, int]:
    """Return the (h, w) that frames of height x width (upright) are scaled to."""
    if size is None:
        return height, width
    if size.mode == "squash":
        return size.height, size.width
    if size.mode == "fit":
        return fit(size.height, height, width)
    if size.mode == "area":
        side = math.sqrt(size.height * size.width)
        if _has_area(side, height, width, size.multiple):  # scaled by the decoder: rounded, another ratio than its own
            return height, width
        return round_sides(*area_size(side, height, width), size.multiple)
    if size.mode == "budget":
        return budget_size(size, height, width)
    if height <= width:
        return size.height, max(1, int(size.height * width / height))
    return max(1, int(size.height * height / width)), size.height


def fit(longest: int, height: int, width: int) -> tuple[int, int]:
    """Return the (h, w) of frames of height x width whose longer side may have so many pixels; the ratio is kept."""
    scale = longest / max(height, width)
    return (height, width) if scale >= 1 else (max(1, round(height * scale)), max(1, round(width * scale)))


def area_size(side: float, height: float, width: float) -> tuple[int, int]:
    """Return the (h, w) of the given ratio and a square's area, rounded as MiniCPM-V does."""
    ratio = width / height
    height = int(side / math.sqrt(ratio))
    return height, int(height * ratio)


def _has_area(side: float, height: int, width: int, multiple: int) -> bool:
    """Tell whether frames of some ratio are scaled to height x width by the mode `area`."""
    if height % multiple or width % multiple:
        return False
    for h in range(max(1, height - multiple), height + multiple):
        # Of the ratios that lead to a height before rounding, the narrowest and the widest frame.
        narrowest, widest = (round_sides(h, int(w), multiple) for w in (h * (side / (h + 1)) ** 2, side**2 / h))
        if narrowest[0] == height and narrowest[1] <= width <= widest[1]:
            return True
    return False


def budget_size(size: FrameSize, height: int, width: int) -> tuple[int, int]:
    """Return the (h, w) that Qwen-VL's `smart_resize` gives frames of height x width, by its arithmetic.

    A side is rounded to the nearest multiple; where the area is then too large or too small, the frame's own sides are
    scaled to the bound and rounded down or up.
    """
    n, multiple = size.num_frames, size.multiple
    if size.frames_bound:  # Qwen3-VL: pixels of the whole clip, frames counted in pairs
        counted, least, most = round(n / 2) * 2, float(size.min_pixels), float(size.total_pixels)
    else:  # Qwen2.5-VL's own loader: pixels of a frame, fewer the more frames there are
        counted, n, least = 1, 1, float(size.min_pixels)
        most = min(size.max_pixels, size.total_pixels / size.num_frames)
        if most < size.max_pixels:
            most = float(max(most, int(size.slack * least)) if size.slack else max(1, int(most)))
    h, w = round_sides(height, width, multiple)
    if counted * h * w > most:
        factor = math.sqrt(n * height * width / most)
        return tuple(max(multiple, math.floor(s / factor / multiple) * multiple) for s in (height, width))  # type: ignore[return-value]
    if counted * h * w < least:
        factor = math.sqrt(least / (n * height * width))
        return tuple(math.ceil(s * factor / multiple) * multiple for s in (height, width))  # type: ignore[return-value]
    return h, w


def round_sides(height: float, width: float, multiple: int) -> tuple[int, int]:
    """Return the nearest multiples, each at least one multiple."""
    h, w = (max(round(side / multiple) * multiple, multiple) for side in (height, width))
    return h, w


def resize_frame(frame: NDArray[np.uint8], height: int, width: int, filter: str = "pil") -> NDArray[np.uint8]:
    """Resize as a `FrameSize.filter` does: (h w c) uint8 -> (height width c) uint8."""
    if frame.shape[:2] == (height, width):
        return frame
    if filter == "torch":
        return _resize_by_torch(frame, height, width)
    if filter == "lanczos_fitted":
        fitted = _resize_by_torch(frame, *_even_fit(max(height, width), *frame.shape[:2]), mode="lanczos")
        return _resize_by_torch(fitted, height, width, mode="lanczos")
    from PIL import Image  # loaded by those who need it

    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def resize_frames(frames: NDArray[np.uint8], height: int, width: int, filter: str = "pil") -> NDArray[np.uint8]:
    """Resize frame by frame, as `resize_frame`: (t h w c) uint8 -> (t height width c) uint8."""
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for row, frame in zip(out, frames, strict=True):
        row[...] = resize_frame(frame, height, width, filter)
    return out


def _even_fit(longest: int, height: int, width: int) -> tuple[int, int]:
    """Return the (h, w) of a ratio whose longer side is given, the other cut to a whole number and then made even."""
    if width >= height:
        shorter = int(longest / (width / height))
        return shorter + shorter % 2 or 1, longest
    shorter = int(longest * (width / height))
    return longest, shorter + shorter % 2 or 1


def _resize_by_torch(frame: NDArray[np.uint8], height: int, width: int, mode: str = "bicubic") -> NDArray[np.uint8]:
    """Resize as torchvision's `resize` does, which is torch's own interpolation of uint8."""
    if frame.shape[:2] == (height, width):
        return frame
    import torch  # loaded by those who need it
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
    made = interpolate(pixels, size=(height, width), mode=mode, antialias=True, align_corners=False)
    resized: NDArray[np.uint8] = made[0].permute(1, 2, 0).contiguous().numpy()
    return resized
