"""Frames as JPEG, in the form in which servers take them.

SHAPES  t frames, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from videollm.video.preprocessing.frame_size import fit, resize_frame

CHROMA: Final = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
"""Resolution of colour -> how PIL names it."""


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """How frames are compressed."""

    quality: int
    """1 to 95."""
    chroma: str
    """A name in CHROMA."""
    max_side: int
    """Pixels of the longer side, at most."""

    def encode(self, frames: NDArray[np.uint8]) -> list[str]:
        """Compress frames (t h w c), those that are too large after scaling them: base64 of each."""
        return [base64.b64encode(self._encode(frame)).decode("ascii") for frame in frames]

    def describe(self, frames: NDArray[np.uint8]) -> str:
        """Say in words what `encode` makes of frames (t h w c)."""
        height, width = fit(self.max_side, *frames.shape[1:3])
        return f"JPEG quality {self.quality}, {self.chroma}, {width} x {height}"

    def _encode(self, frame: NDArray[np.uint8]) -> bytes:
        from PIL import Image  # loaded by those who need it

        made = io.BytesIO()
        picture = Image.fromarray(resize_frame(frame, *fit(self.max_side, *frame.shape[:2])))
        picture.save(made, format="JPEG", quality=self.quality, subsampling=CHROMA[self.chroma])
        return made.getvalue()
