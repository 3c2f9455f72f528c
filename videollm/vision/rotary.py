"""Rotary position embedding of patches by row and column (Qwen2-VL, arXiv:2409.12191).

SHAPES  b sequences, n patches of a sequence, d width of a head.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

THETA = 10_000.0


def rotary_table(rows: Tensor, columns: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Make the cosines and sines (... d) of patches: a quarter of d turns by row, a quarter by column, then again.

    Args:
        rows: (...), row of every patch.
        columns: (...), column of every patch.
        d: width of a head.
    """
    frequencies = 1.0 / THETA ** (torch.arange(0, d // 2, 2, dtype=torch.float32, device=rows.device) / (d // 2))
    angles = torch.cat([rows[..., None] * frequencies, columns[..., None] * frequencies], -1)
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn queries or keys (b h n d) by the angles of their patches, in float32."""
    cos, sin = (rearrange(part, "b n d -> b 1 n d") for part in table)
    a, b = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat([-b, a], -1) * sin).to(x.dtype)
