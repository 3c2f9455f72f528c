"""Frames padded to squares before they are scaled: pictures of LLaVA-1.5 and Mini-Gemini.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from videollm.types import FrameBatch
from videollm.video.preprocessing.base import Group
from videollm.video.preprocessing.frame_size import FrameSize, resize_frames
from videollm.video.preprocessing.square import Square


@dataclass(frozen=True, kw_only=True)
class Padded(Square):
    """Squash frames as Square does, after bars of the mean colour made them square; a single frame has no label."""

    def frame_size(self) -> FrameSize:
        """Ask for full frames: a padded frame that is scaled is not a scaled frame that is padded."""
        return FrameSize(height=1, width=1, mode="budget", exact=True)

    def fit(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pad and scale frames: (t h w c) -> (t H W c), H = W = size."""
        t, h, w, c = frames.shape
        side = max(h, w)
        top, left = (side - h) // 2, (side - w) // 2
        padded = np.empty((t, side, side, c), np.uint8)
        padded[...] = [int(x * 255) for x in self.mean]
        padded[:, top : top + h, left : left + w] = frames
        return resize_frames(padded, self.size, self.size, self.filter)

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group of all frames of a clip; errors as `fit`."""
        groups = super().groups(batch)
        return [replace(group, labels=()) if len(group.pictures) == 1 else group for group in groups]
