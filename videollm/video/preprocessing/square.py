"""Squares of one size, as most vision towers take them.

By default frames arrive scaled by the decoder (`decoding/scaler.py`), which is close to PIL's bicubic but not equal:
over four real 480p to 1080p clips the mean difference is 0.1 to 0.5 grey levels of 255 at 336 x 336 (99% of values
within 2 to 6) and 0.5 to 1.3 at 48 x 48 (99% within 6 to 15). `exact=True` resizes with PIL itself, as the
checkpoints' own preprocessing does, one full frame at a time.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
class Square(Preprocessing):
    """Resize, crop and normalise, as Hugging Face's image processors do (PIL bicubic on uint8, / 255, mean, std)."""

    size: int = 48
    """Side of the square the tower takes."""
    mode: Literal["squash", "crop"] = "squash"
    """`squash` ignores the ratio (SigLIP); `crop` scales the short side to `size` and keeps the centre (CLIP)."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    exact: bool = False
    """Scale with the `filter`, frame by frame, equal to the checkpoint's own preprocessing; else in the decoder."""
    filter: Literal["pil", "torch", "lanczos_fitted"] = "pil"
    """As for FrameSize; with all but `pil` go the rounding steps of transformers' processors on torch."""
    before: str = ""
    """Written in front of a clip."""
    after: str = ""
    """Written behind it."""
    label: str | None = None
    """Written in front of every frame instead, after which `after` and, between frames, a line break are written;
    `{number}` counts from 1. None writes nothing at frames."""

    def __post_init__(self) -> None:
        if self.size < 1 or self.mode not in ("squash", "crop"):
            got = f"Square(size={self.size}, mode={self.mode!r})"
            raise UserError(f"{got}; expected a size of at least 1 and the mode 'squash' or 'crop'.")
        if min(self.std) <= 0:
            raise UserError(f"Square.std is {self.std}; expected numbers above 0.")

    def frame_size(self) -> FrameSize:
        """Ask for the square, or for its short side where the middle is cut out."""
        mode: Literal["squash", "shortest_edge"] = "squash" if self.mode == "squash" else "shortest_edge"
        return FrameSize(height=self.size, width=self.size, mode=mode, exact=self.exact, filter=self.filter)

    def __call__(self, frames: NDArray[np.uint8]) -> Tensor:
        """Make pixels: (t h w c) uint8 RGB, t may be 0 -> (t c H W) float32, H = W = size; errors as `fit`."""
        return self.pixels(self.fit(frames))

    def fit(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop frames, after resizing those that do not have the decoder's size yet.

        Args:
            frames: (t h w c), uint8 RGB, t may be 0.
        Returns:
            (t H W c), H = W = size.
        Raises:
            UserError: not (t h w 3) uint8.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            got = f"Got frames {frames.shape} {frames.dtype}"
            raise UserError(f"{got}; expected (t h w 3) uint8 RGB, as decode returns.")
        frames = resize_frames(frames, *target_size(self.frame_size(), *frames.shape[1:3]), self.filter)
        top, left = ((side - self.size) // 2 for side in frames.shape[1:3])
        return frames[:, top : top + self.size, left : left + self.size]

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip; errors as `fit`."""
        pictures = self.fit(batch.frames)
        labels: list[tuple[str, str]] = []
        if self.label is not None:
            ends = [f"{self.after}\n"] * (len(pictures) - 1) + [self.after]
            labels = [(self.label.format(number=i), end) for i, end in enumerate(ends, start=1)]
        return [
            Group(
                pictures=pictures,
                seconds=batch.seconds,
                before=self.before,
                after=self.after,
                labels=tuple(labels),
            )
        ]

    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """Return the shape of one group of squares, whatever the frames are."""
        return [Shape(num_frames, self.size, self.size)]

    def pixels(self, pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """Normalise pictures: (t H W c) uint8 -> (t c H W) float32 on the device."""
        return normalise(pictures, self.mean, self.std, device, fused=self.filter != "pil")
