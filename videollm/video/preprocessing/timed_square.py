"""Squares of which the model is told how many there are, of how long a clip, and at what time each: SmolVLM2's frames.

SHAPES  t frames, H W pixels of the tower, c colour channels (RGB).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from videollm.types import FrameBatch
from videollm.video.preprocessing.base import Group, normalise
from videollm.video.preprocessing.frame_size import FrameSize, resize_frame
from videollm.video.preprocessing.square import Square

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TimedSquare(Square):
    """Squashed frames (`lanczos_fitted` of FrameSize), with text before, between and behind them."""

    intro: str = ""
    """Written in front of a clip; `{frames}` is their number in words, `{duration}` the length as 0:00:00."""
    label: str = ""
    """Written in front of a frame, where the connector keeps frames apart; `{minutes}` and `{seconds}` are whole."""
    before: str = ""
    """Written behind a label, and once in front of a clip whose frames are not kept apart."""
    after: str = ""
    """Written behind a frame, and once behind such a clip."""
    outro: str = ""
    """Written behind a clip."""

    def frame_size(self) -> FrameSize:
        """Ask for the square."""
        return replace(super().frame_size(), mode="squash", exact=True, filter="lanczos_fitted")

    def fit(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Squash those frames that do not have the decoder's size yet: (t h w c) -> (t H W c)."""
        if frames.shape[1:3] == (self.size, self.size):
            return frames
        return np.stack([resize_frame(frame, self.size, self.size, "lanczos_fitted") for frame in frames])

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip."""
        told = [i / batch.fps for i in batch.indices] if batch.fps > 0 else list(batch.seconds)
        length = batch.num_in_range / batch.fps if batch.fps > 0 and batch.num_in_range > 0 else told[-1]
        intro = self.intro.format(frames=in_words(len(told)), duration=str(timedelta(seconds=int(length))))
        return [
            Group(
                pictures=self.fit(batch.frames),
                seconds=batch.seconds,
                before=intro + self.before,
                after=self.after + self.outro,
                labels=tuple(self._labels(intro, told)),
            )
        ]

    def pixels(self, pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """Normalise pictures: (t H W c) uint8 -> (t c H W) float32 on the device."""
        return normalise(pictures, self.mean, self.std, device, fused=True)

    def _labels(self, intro: str, told: Sequence[float]) -> list[tuple[str, str]]:
        labels = [
            (self.label.format(minutes=int(second // 60), seconds=int(second % 60)) + self.before, self.after)
            for second in told
        ]
        labels[0] = (intro + labels[0][0], labels[0][1])
        labels[-1] = (labels[-1][0], labels[-1][1] + self.outro)
        return labels


SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS: Final = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """Write a number below a million in British English, as the package num2words does."""
    if number < 20:
        return SMALL[number]
    if number < 100:
        return TENS[number // 10] + (f"-{SMALL[number % 10]}" if number % 10 else "")
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = number % unit
    joint = " and " if rest < 100 else ", "
    return f"{in_words(number // unit)} {name}" + (f"{joint}{in_words(rest)}" if rest else "")
