"""Change of pixels from frame to frame, a feature that any tower's model can offer to connectors.

SHAPES  t frames, c channels, H W pixels, h w patches.
"""

from __future__ import annotations

from typing import Final

import torch
from einops import reduce
from torch import Tensor

PIXEL_CHANGE: Final = "pixel_change"
"""Its name among a connector's needs."""


def pixel_change(pixels: Tensor, patch_size: int) -> Tensor:
    """Average, over each patch, the absolute change since the frame before, times 255; the first frame's is infinite.

    Args:
        pixels: (t c H W), normalised.
        patch_size: pixels per side of a patch.
    Returns:
        (t h w 1), float32.
    """
    h, w = (side // patch_size for side in pixels.shape[-2:])
    pixels = pixels[..., : h * patch_size, : w * patch_size]
    change = reduce((pixels[1:] - pixels[:-1]).abs_(), "t c (h i) (w j) -> t h w 1", "mean", h=h, w=w)
    return torch.cat([torch.full((1, h, w, 1), torch.inf, device=pixels.device), change * 255])
