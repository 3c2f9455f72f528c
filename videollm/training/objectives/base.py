"""The interface of an objective: batches by step, and the loss of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from videollm.models.trainable import TrainableModel


class Objective(ABC):
    """What training lowers.

    Args:
        model: is saved as training goes.
        module: holds all that learns: the model itself, or a part of it with what is thrown away afterwards.
    """

    def __init__(self, model: TrainableModel, module: nn.Module) -> None:
        self.model, self.module = model, module

    @abstractmethod
    def batch(self, step: int) -> Any:
        """Make the batch of a step, in a process of its own; the same step gives the same batch, to resume anywhere.

        Raises:
            VideoError: a video cannot be decoded.
        """

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of a batch, and the share of what is right by kind."""
