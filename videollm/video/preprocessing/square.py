"""From uint8 frames to the pictures a vision tower takes, and to their float pixels.

By default frames arrive scaled by the decoder (`scale.py`), which is close to PIL's bicubic but not equal: over four
real 480p to 1080p clips the mean difference is 0.1 to 0.5 grey levels of 255 at 336 x 336 (99% of values within 2 to 6)
and 0.5 to 1.3 at 48 x 48 (99% within 6 to 15). `exact=True` resizes with PIL itself, as the checkpoints' own
preprocessing does, one full frame at a time.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from videollm.types import FrameBatch
from videollm.video.preprocessing.scale import FrameSize, resize_frame, target_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Shape(NamedTuple):
    """Shape of a group of pictures."""

    t: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pictures that share one set of visual tokens."""

    pictures: NDArray[np.uint8]
    """(t H W c)."""
    seconds: tuple[float, ...]
    """Of each picture; negative for a still image."""
    before: str = ""
    """Written in front of its visual tokens."""
    after: str = ""
    """Written behind them."""


class Preprocessing(Protocol):
    """What a model does to the frames of a clip; its settings are written as JSON."""

    def frame_size(self) -> FrameSize | None:
        """What to ask of the decoder; None is full frames."""

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Pictures of a clip, those together that share visual tokens."""

    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """Shapes of the groups of a clip."""

    def pixels(self, pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """(t H W c) uint8 -> (t c H W) float32, normalised."""


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
    """Scale with PIL, frame by frame, equal to the checkpoint's own preprocessing; else in the decoder."""

    def __post_init__(self) -> None:
        if self.size < 1 or self.mode not in ("squash", "crop"):
            got = f"Transform(size={self.size}, mode={self.mode!r})"
            raise ValueError(f"{got}; expected a size of at least 1 and the mode 'squash' or 'crop'.")
        if min(self.std) <= 0:
            raise ValueError(f"Transform.std is {self.std}; expected numbers above 0.")

    def frame_size(self) -> FrameSize:
        """What to ask of the decoder."""
        mode: Literal["squash", "shortest_edge"] = "squash" if self.mode == "squash" else "shortest_edge"
        return FrameSize(height=self.size, width=self.size, mode=mode, exact=self.exact)

    def __call__(self, frames: NDArray[np.uint8]) -> Tensor:
        """(t h w c) uint8 RGB, t may be 0 -> (t c H W) float32, H = W = size; errors as `fit`."""
        return self.pixels(self.fit(frames))

    def fit(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop frames, after resizing those with PIL that do not have the decoder's size yet.

        Args:
            frames: (t h w c), uint8 RGB, t may be 0.
        Returns:
            (t H W c), H = W = size.
        Raises:
            ValueError: not (t h w 3) uint8.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            got = f"Got frames {frames.shape} {frames.dtype}"
            raise ValueError(f"{got}; expected (t h w 3) uint8 RGB, as decode returns.")
        frames = resize(frames, *target_size(self.frame_size(), *frames.shape[1:3]))
        top, left = ((side - self.size) // 2 for side in frames.shape[1:3])
        return frames[:, top : top + self.size, left : left + self.size]

    def groups(self, batch: FrameBatch) -> list[Group]:
        """All frames of a clip as one group; errors as `fit`."""
        return [Group(pictures=self.fit(batch.frames), seconds=batch.seconds)]

    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """One group of squares, whatever the frames are."""
        return [Shape(num_frames, self.size, self.size)]

    def pixels(self, pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """(t H W c) uint8 -> (t c H W) float32 on the device, normalised."""
        return normalise(pictures, self.mean, self.std, device)


def normalise(
    pictures: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float], device: torch.device | str
) -> Tensor:
    """(t H W c) uint8 -> (t c H W) float32: / 255, less the mean, divided by std, on the device."""
    import torch  # not above: what only asks for frame_size() need not wait for it

    raw = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    pixels = rearrange(raw, "t h w c -> t c h w").contiguous().float()  # moved while it is small
    means, stds = (rearrange(torch.tensor(values, device=device), "c -> c 1 1") for values in (mean, std))
    return pixels.div_(255).sub_(means).div_(stds)


def resize(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """PIL bicubic, frame by frame: (t h w c) uint8 -> (t height width c) uint8."""
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for row, frame in zip(out, frames, strict=True):
        row[...] = resize_frame(frame, height, width)
    return out
