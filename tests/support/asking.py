"""A connector whose tokens depend on the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from connectors import Connector


class AskingPool(Connector):
    """Each frame's mean, and of each frame the patches in mixture, weighted by how they suit the question's words."""

    asks = True

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """No settings of its own."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.d_vision, config.d_llm)

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """One token a frame."""
        self.check_size(t, h, w)
        return (t, 1, 1)

    def forward(self, patches: Tensor, seconds: Tensor, questions: Sequence[Tensor | None] = ()) -> Tensor:
        """Mix the patches of each frame: uniformly without a question."""
        self.check_size(*patches.shape[1:4])
        projected = rearrange(self.project(patches), "b t h w d -> b t (h w) d")
        return torch.stack([_mix(x, q) for x, q in zip(projected, questions, strict=True)])


def _mix(patches: Tensor, question: Tensor | None) -> Tensor:
    if question is None:
        return patches.mean(1)
    weights = (patches @ question.mean(0)).softmax(-1)
    return (weights[..., None] * patches).sum(1)
