"""Parts of a model that learn, or stay as they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Literal

from videollm.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from videollm.models.trainable import TrainableModel

Part = Literal["connector", "llm", "vision"]
PARTS: Final[dict[str, str]] = {"connector": "connector", "llm": "llm", "vision": "tower"}
"""Name of a part -> attribute of TrainableModel."""


def check_parts(names: Collection[str]) -> None:
    """Check that at least one part is named, and that all are known.

    Raises:
        UserError: no part is named, or one is not known.
    """
    if not names or set(names) - set(PARTS):
        raise UserError(f"train got {', '.join(names) or 'nothing'}; expected some of {', '.join(PARTS)}.")


def freeze_others(model: TrainableModel, names: Collection[str]) -> None:
    """Let the named parts learn, and no other."""
    for name, attribute in PARTS.items():
        part: nn.Module = getattr(model, attribute)
        part.requires_grad_(name in names)
