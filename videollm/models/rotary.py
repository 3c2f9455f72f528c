"""A rotary embedding whose frequencies are weights, and whose angles have the type of the model's weights.

SHAPES  r rows, s tokens, d width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StoredRotary(nn.Module):
    """Rotary embedding of CogVLM2-Video.

    Its checkpoints hold frequencies rounded to bfloat16, and its code computes angles in the type of the weights: in
    bfloat16, tokens far from the beginning share angles. The models were trained so.
    """

    def __init__(self, d: int, theta: float) -> None:
        super().__init__()
        self.inv_freq = nn.Buffer(1.0 / theta ** (torch.arange(0, d, 2, dtype=torch.float32) / d))

    @torch.no_grad()
    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Make the cosines and sines (r s d) of positions (r s), in the type of the hidden states x."""
        angles = position_ids[..., None].to(x.dtype) * self.inv_freq.to(x)
        angles = torch.cat([angles, angles], -1)
        return angles.cos(), angles.sin()
