"""Frames at their own ratio within a budget of pixels, several to one frame of features: pictures of Qwen-VL.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from einops import reduce
from numpy.typing import NDArray

from videollm.errors import UserError
from videollm.types import FrameBatch
from videollm.video.preprocessing.base import Group, Preprocessing, Shape, normalise
from videollm.video.preprocessing.frame_size import FrameSize, resize_frame, target_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Budget(Preprocessing):
    """Scale frames as `FrameSize.mode` budget does; repeat the last one until the tower's temporal patches are full."""

    multiple: int
    """Sides of pictures are multiples of it: those of a patch times those of a merged square."""
    temporal_patch: int = 2
    """Frames that make one frame of features."""
    min_pixels: int = 1
    """As for FrameSize."""
    max_pixels: int = 2**62
    """As for FrameSize."""
    total_pixels: int = 2**62
    """As for FrameSize."""
    frames_bound: bool = False
    """As for FrameSize."""
    slack: float = 1.05
    """As for FrameSize."""
    filter: Literal["pil", "torch"] = "torch"
    """As for FrameSize; with `torch` go the rounding steps of transformers' processors on torch."""
    before: str = ""
    """Written in front of a clip."""
    after: str = ""
    """Written behind it."""
    label: str | None = None
    """Written in front of every frame of features instead, after which `after` is written; `{seconds:.1f}` is its time.
    None writes nothing at frames."""
    between: str = ""
    """Written behind `after` of every frame of features but the last, where there is a label."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if min(self.multiple, self.temporal_patch, self.min_pixels, self.max_pixels, self.total_pixels) < 1:
            raise UserError(f"{self} has a number below 1; expected at least 1 each.")

    def frame_size(self) -> FrameSize:
        """Ask for the frames' own size within the budget."""
        return FrameSize(
            height=self.multiple,
            width=self.multiple,
            mode="budget",
            multiple=self.multiple,
            exact=True,
            filter=self.filter,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            total_pixels=self.total_pixels,
            frames_bound=self.frames_bound,
            slack=self.slack,
        )

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip."""
        t = len(batch.frames)
        height, width = target_size(self.frame_size().of_clip(t), *batch.frames.shape[1:3])
        frames = np.stack([resize_frame(frame, height, width, self.filter) for frame in batch.frames])
        added = -t % self.temporal_patch
        if added:
            frames = np.concatenate([frames, np.repeat(frames[-1:], added, axis=0)])
        seconds = (*batch.seconds, *batch.seconds[-1:] * added)
        # The prompt's times count frames at the average rate, as officially; rows keep the true ones.
        counted = [i / batch.fps for i in batch.indices] if batch.fps > 0 else list(batch.seconds)
        told = list(batch.model_seconds) or counted
        told += told[-1:] * added
        labels: list[tuple[str, str]] = []
        if self.label is not None:
            means = reduce(np.asarray(told), "(p t) -> p", "mean", t=self.temporal_patch)
            ends = [self.after + self.between] * (len(means) - 1) + [self.after]
            labels = [(self.label.format(seconds=float(m)), end) for m, end in zip(means, ends, strict=True)]
        return [
            Group(
                pictures=frames,
                seconds=seconds,
                before=self.before,
                after=self.after,
                labels=tuple(labels),
                clock=tuple(i * self._gap(batch) for i in range(len(frames) // self.temporal_patch)),
            )
        ]

    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """Return the shape of one group of all frames."""
        size = target_size(self.frame_size().of_clip(num_frames), height, width)
        return [Shape(num_frames + -num_frames % self.temporal_patch, *size)]

    def pixels(self, pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """Normalise pictures: (t H W c) uint8 -> (t c H W) float32 on the device."""
        return normalise(pictures, self.mean, self.std, device, fused=self.filter == "torch")

    def _gap(self, batch: FrameBatch) -> float:
        """Return the seconds between frames of features, at the average rate of the frames chosen."""
        t = len(batch.frames)
        if batch.fps > 0 and batch.num_in_range > 0:
            return self.temporal_patch / (t / batch.num_in_range * batch.fps)
        span = batch.seconds[-1] - batch.seconds[0]
        return self.temporal_patch * span / (t - 1) if t > 1 else 0.0
