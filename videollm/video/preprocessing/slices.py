"""Pictures of MiniCPM-V: thumbnails, slices of large images, and the text written around their visual tokens.

As in `image_processing_minicpmv.py` of the published checkpoints (LLaVA-UHD, arXiv 2403.11703).

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from videollm.types import FrameBatch
from videollm.video.preprocessing.base import Group, Preprocessing, Shape, normalise
from videollm.video.preprocessing.frame_size import (
    FrameSize,
    area_size,
    resize_frame,
    resize_frames,
    round_sides,
    target_size,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Slices(Preprocessing):
    """Keep the ratio at the area of a square; cut large pictures into slices; pack frames of videos."""

    side: int = 448
    """Side of the square whose area a picture gets."""
    patch_size: int = 14
    """Sides of pictures are multiples of it."""
    max_slices: int = 9
    """Slices of a still image at most."""
    max_slices_of_frames: int = 1
    """Slices of a video's frame at most; 1 leaves frames whole, which can then be packed."""
    image_ids: bool = True
    """Number still images in the text."""
    whole_clip: bool = False
    """Give all frames of a video to the connector at once, instead of pack by pack."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def frame_size(self) -> FrameSize:
        """Ask for frames at their final size, or, where they are sliced, as large as they are (in decord's colours)."""
        if self.max_slices_of_frames > 1:
            return FrameSize(height=1, width=1, mode="budget", exact=True, keep_stills=True)
        return FrameSize(
            height=self.side, width=self.side, mode="area", multiple=self.patch_size, exact=True, keep_stills=True
        )

    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make one group per pack of frames, or one per thumbnail and one per slice where pictures are cut."""
        most, t = self.max_slices if batch.still else self.max_slices_of_frames, len(batch.frames)
        height, width = batch.frames.shape[1:3]
        seconds = batch.model_seconds or batch.seconds
        if most == 1 and not batch.still:
            frames = resize_frames(batch.frames, *target_size(self.frame_size(), height, width))
            pack = t if self.whole_clip else batch.packing
            packs = [slice(i, min(i + pack, t)) for i in range(0, t, pack)]
            return [
                Group(
                    pictures=frames[p],
                    seconds=seconds[p],
                    before="<image>",
                    after="</image>" if p.stop == t else "</image>\n",
                )
                for p in packs
            ]
        return [
            group
            for i in range(t)
            for group in self._cut(batch.frames[i], i if batch.still and self.image_ids else None, most, i + 1 == t)
        ]

    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """Return the shapes of the groups of a clip."""
        most = self.max_slices if still else self.max_slices_of_frames
        grid = slice_grid(height, width, most, self.side)
        if most == 1 and not still:
            pack, size = num_frames if self.whole_clip else packing, target_size(self.frame_size(), height, width)
            return [Shape(min(pack, num_frames - i), *size) for i in range(0, num_frames, pack)]
        one = [Shape(1, *self._thumbnail(height, width))]
        if grid is not None:
            rows, columns = grid
            h, w = self._refined(height, width, grid)
            one += [Shape(1, h // rows, w // columns)] * (rows * columns)
        return one * num_frames

    def pixels(self, pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
        """Normalise pictures: (t H W c) uint8 -> (t c H W) float32 on the device."""
        return normalise(pictures, self.mean, self.std, device)

    def _cut(self, frame: NDArray[np.uint8], number: int | None, most: int, last: bool) -> Iterator[Group]:
        """Make a thumbnail, then slices row by row; none of them has a time."""
        height, width = frame.shape[:2]
        grid = slice_grid(height, width, most, self.side)
        end = "" if last else "\n"
        yield Group(
            pictures=resize_frame(frame, *self._thumbnail(height, width))[None],
            seconds=(-1.0,),
            before="<image>" if number is None else f"<image_id>{number}</image_id><image>",
            after="</image>" + (end if grid is None else ""),
        )
        if grid is None:
            return
        rows, columns = grid
        refined = resize_frame(frame, *self._refined(height, width, grid))
        for i, picture in enumerate(rearrange(refined, "(r h) (k w) c -> (r k) h w c", r=rows, k=columns), 1):
            line_end = end if i == rows * columns else "\n" if i % columns == 0 else ""
            yield Group(pictures=picture[None], seconds=(-1.0,), before="<slice>", after="</slice>" + line_end)

    def _thumbnail(self, height: int, width: int) -> tuple[int, int]:
        """Return the (H, W) of the whole picture; small pictures grow, and are never sliced."""
        return round_sides(*area_size(self.side, height, width), self.patch_size)

    def _refined(self, height: int, width: int, grid: tuple[int, int]) -> tuple[int, int]:
        """Return the (H, W) of the picture that is cut into a grid."""
        rows, columns = grid
        cell = (max(round(height / rows), 1), max(round(width / columns), 1))
        h, w = round_sides(*area_size(self.side, *cell), self.patch_size)
        return h * rows, w * columns


def slice_grid(height: int, width: int, most: int, side: int) -> tuple[int, int] | None:
    """Return the (rows, columns) to cut a picture into; None where the picture stays whole.

    The number of slices is that of squares that fit, or one less or more; the grid nearest to the ratio wins.
    """
    wanted = min(math.ceil(height * width / side**2), most)
    if wanted <= 1:
        return None
    numbers = [n for n in (wanted - 1, wanted, wanted + 1) if 1 < n <= most]
    grids = [(n // columns, columns) for n in numbers for columns in range(1, n + 1) if n % columns == 0]
    return min(grids, key=lambda grid: abs(math.log(width / height) - math.log(grid[1] / grid[0])))
