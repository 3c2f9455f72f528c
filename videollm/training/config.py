"""Settings of a training run: what learns, for how long, at which rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from videollm.errors import UserError
from videollm.training.parts import Part, check_parts


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of the loop, whatever it trains on."""

    train: tuple[Part, ...] = ("connector",)
    """Parts that learn; the others stay as they are."""
    steps: int = 1000
    """Steps of the optimiser."""
    learning_rate: float = 1e-3
    """Highest learning rate, after a linear warm-up; it falls to a hundredth by a cosine."""
    save_every: int = 500
    """Steps between saved states; a run that was stopped goes on from the last one."""
    log_every: int = 50
    """Steps between lines of the log."""
    device: str = "cpu"
    """Where to train."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 computes in mixed precision; the weights stay float32."""

    def __post_init__(self) -> None:
        check_parts(self.train)
        for name in ("steps", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; expected at least 1.")
