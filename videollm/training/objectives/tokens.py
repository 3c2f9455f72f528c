"""The objective `tokens`: a new connector gives the visual tokens of the one that it replaces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from connectors import Connector, Tokens
from videollm.errors import UserError
from videollm.models.trainable import TrainableModel
from videollm.training.data import Data, Example
from videollm.training.objectives.base import Objective


class TokenObjective(Objective):
    """Mean squared difference to the teacher's visual tokens, over their variance: a warm start for a connector.

    Args:
        model: its connector learns.
        teacher: the connector whose tokens are right.
        data: clips; what is asked of them does not matter.
    """

    def __init__(self, model: TrainableModel, teacher: Connector, data: Data) -> None:
        assert isinstance(model, nn.Module)
        super().__init__(model, model)
        self.teacher, self.data = teacher, data

    def batch(self, step: int) -> list[Example]:
        """Make the batch of a step, see `Objective.batch`."""
        return self.data(step)

    def loss(self, batch: Sequence[Example]) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss; there is no share that is right.

        Raises:
            UserError: the connectors make different numbers of tokens.
        """
        with torch.no_grad():
            clips = self.model.encode_frames([example.frames for example in batch])
            features = [part for clip in clips for part in clip.features]
            wanted = torch.cat([Tokens.of(made).tokens for made in self.teacher.connect(features)]).float()
        made = torch.cat([Tokens.of(made).tokens for made in self.model.connector.connect(features)]).float()
        if made.shape != wanted.shape:
            raise UserError(
                f"{self.model.connector_name} makes {len(made)} tokens where the model's own connector makes "
                f"{len(wanted)}. Set the connector's config so that both make as many."
            )
        return mse_loss(made, wanted) / wanted.var(), {}
