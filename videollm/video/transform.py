"""From uint8 frames to the float pixels a vision tower takes.

By default frames arrive scaled by the decoder (`scale.py`), which is close to PIL's bicubic but not equal: over four
real 480p to 1080p clips the mean difference is 0.1 to 0.5 grey levels of 255 at 336 x 336 (99% of values within 2 to 6)
and 0.5 to 1.3 at 48 x 48 (99% within 6 to 15). `exact=True` takes full frames and resizes with PIL itself, as the
checkpoints' own preprocessing does; it holds every full frame in memory.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from videollm.video.scale import FrameSize, target_size

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Transform:
    """Resize, crop and normalise, as Hugging Face's image processors do (PIL bicubic on uint8, / 255, mean, std)."""

    size: int = 48
    """Side of the square the tower takes."""
    mode: Literal["squash", "crop"] = "squash"
    """`squash` ignores the ratio (SigLIP); `crop` scales the short side to `size` and keeps the centre (CLIP)."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    exact: bool = False
    """Take full frames from the decoder and resize here with PIL, equal to the checkpoint's own preprocessing."""

    def __post_init__(self) -> None:
        if self.size < 1 or self.mode not in ("squash", "crop"):
            got = f"Transform(size={self.size}, mode={self.mode!r})"
            raise ValueError(f"{got}; expected a size of at least 1 and the mode 'squash' or 'crop'.")
        if min(self.std) <= 0:
            raise ValueError(f"Transform.std is {self.std}; expected numbers above 0.")

    def frame_size(self) -> FrameSize | None:
        """What to ask of the decoder; None (full frames) on the exact path."""
        return None if self.exact else self._scaled()

    def __call__(self, frames: NDArray[np.uint8]) -> Tensor:
        """Make pixels of frames; those that do not have the decoder's size yet are resized with PIL.

        Args:
            frames: (t h w c), uint8 RGB, t may be 0.
        Returns:
            (t c H W), float32, H = W = size.
        Raises:
            ValueError: not (t h w 3) uint8.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            got = f"Got frames {frames.shape} {frames.dtype}"
            raise ValueError(f"{got}; expected (t h w 3) uint8 RGB, as decode returns.")
        height, width = target_size(self._scaled(), *frames.shape[1:3])
        top, left = (height - self.size) // 2, (width - self.size) // 2
        if frames.shape[1:3] != (height, width):
            frames = resize(frames, height, width)
        frames = frames[:, top : top + self.size, left : left + self.size]
        import torch  # not above: what only asks for frame_size() need not wait for it

        pixels = rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> t c h w").float() / 255
        mean, std = (rearrange(torch.tensor(values), "c -> c 1 1") for values in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous()

    def _scaled(self) -> FrameSize:
        mode: Literal["squash", "shortest_edge"] = "squash" if self.mode == "squash" else "shortest_edge"
        return FrameSize(height=self.size, width=self.size, mode=mode)


def resize(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """PIL bicubic, frame by frame.

    Args:
        frames: (t h w c), uint8.
        height: of the result.
        width: of the result.
    Returns:
        (t height width c), uint8.
    """
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for row, frame in zip(out, frames, strict=True):
        row[...] = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
    return out
