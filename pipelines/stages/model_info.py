"""Facts about a model: read from its folder where that can be done without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videollm.checkpoints import Options, resolve
from videollm.checkpoints.hub import find_model, is_local
from videollm.errors import UserError

if TYPE_CHECKING:
    from videollm.models.protocol import ModelInfo, VideoModel


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model to be loaded by whoever needs it."""

    name: str
    """An embedded model, a folder, or a hub id."""
    connector: str | None = None
    """Takes the place of the model's own: a name in CONNECTORS, or `pkg.mod:Class`."""
    connector_config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of that connector's Config."""
    connector_weights: str | None = None
    thinking: bool = False
    engine: str = "builtin"
    """A name in ENGINES."""
    device: str = "auto"
    dtype: str = "auto"

    def load(self, *, folder: Path | None = None, num_threads: int | None = None) -> VideoModel:
        """Load the model.

        Args:
            folder: where a model folder lies on this machine, if not where its name says.
            num_threads: threads of torch on the CPU; None leaves its own choice.
        Raises:
            UserError: there is no such model, or it does not load.
        """
        import torch

        from videollm.checkpoints import load

        if num_threads is not None:
            torch.set_num_threads(num_threads)
        model = load(
            self.name if folder is None else folder,
            connector=self.connector,
            connector_config=self.connector_config,
            connector_weights=self.connector_weights,
            thinking=self.thinking,
            engine=self.engine,
            device=self.device,
            dtype=self.dtype,
        )
        model.name = self.name
        return model


def read_model_info(spec: ModelSpec) -> ModelInfo | None:
    """Describe a model that lies on this machine by its folder; None where it must be loaded to know."""
    if not is_local(spec.name):
        return None
    weights = spec.connector_weights
    options = Options(
        name=spec.name,
        connector=spec.connector,
        connector_config=spec.connector_config,
        connector_weights=None if weights is None else Path(weights),
        thinking=spec.thinking,
        engine=spec.engine,
    )
    try:
        return resolve(options).info
    except UserError:
        return None  # loading it says what is wrong


def model_folder(name: str) -> Path | None:
    """Find where a model lies on this machine, if it does."""
    return find_model(name) if is_local(name) else None
