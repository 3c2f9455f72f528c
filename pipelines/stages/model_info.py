"""Facts about a model: read from its folder where that can be done without loading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videollm.models.composed import VideoLLM
    from videollm.video.preprocessing.square import Preprocessing


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

    def load(self, *, folder: Path | None = None, num_threads: int | None = None) -> VideoLLM:
        """Load the model.

        Args:
            folder: where a model folder lies on this machine, if not where its name says.
            num_threads: threads of torch on the CPU; None leaves its own choice.
        Raises:
            UserError: there is no such model, or it does not load.
        """
        import torch

        from videollm.checkpoints import load
        from videollm.errors import UserError

        if num_threads is not None:
            torch.set_num_threads(num_threads)
        try:
            model = load(
                self.name if folder is None else folder,
                connector=self.connector,
                connector_config=dict(self.connector_config),
                connector_weights=self.connector_weights,
                thinking=self.thinking,
                engine=self.engine,
                device=self.device,
                dtype=self.dtype,
            )
        except (ValueError, OSError) as error:
            raise UserError(str(error)) from error
        model.name = self.name
        return model


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What stages, rows and run.json need to know of a model."""

    name: str
    connector: str
    sampling: dict[str, Any]
    """The model's own choice of frames: fields of videollm.Sampling."""
    frame_size: dict[str, Any] | None
    """Fields of videollm.video.preprocessing.scale.FrameSize; None is full size."""
    notice: str | None
    """One line that users should see before they trust the answers."""
    loaded: dict[str, Any] | None = None
    """What only a loaded model knows: revision, device, dtype, attention, generation settings."""
    tower_key: str | None = None
    """`videollm.features.store.tower_key`, where one is wanted."""


def describe_model(model: VideoLLM, *, with_tower_key: bool = False) -> ModelInfo:
    """Describe a loaded model.

    Args:
        with_tower_key: hash the tower's weights too (a second per GB).
    """
    from videollm.features.store import tower_key

    return ModelInfo(
        name=model.name,
        connector=model.connector_name,
        sampling=asdict(model.sampling),
        frame_size=_frame_size(model.transform),
        notice=model.notice,
        loaded={
            "revision": model.revision,
            "device": str(model.device),
            "dtype": str(model.dtype).removeprefix("torch."),
            "attention": model.llm.config._attn_implementation,
            "generation": asdict(model.generation),
        },
        tower_key=tower_key(model) if with_tower_key else None,
    )


def read_model_info(spec: ModelSpec) -> ModelInfo | None:
    """Describe a model that lies in a folder of our own format; None where it must be loaded to know."""
    from videollm.video.preprocessing.square import Transform
    from videollm.video.sampling import Sampling

    folder = None if spec.connector_weights or spec.connector else model_folder(spec.name)
    try:
        config = json.loads((folder / "config.json").read_text()) if folder else {}
        if not isinstance(config, dict) or config.get("model_type") != "videollm":
            return None
        return ModelInfo(
            name=spec.name,
            connector=config["connector"]["name"],
            sampling=asdict(Sampling.from_dict(config["sampling"])),
            frame_size=_frame_size(Transform(**config["transform"])),
            notice=config.get("notice"),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None  # loading it says what is wrong


def model_folder(name: str) -> Path | None:
    """Where a model lies on this machine, if it does."""
    embedded = Path(str(files("videollm") / "assets")) / name
    return next((f for f in (embedded, Path(name)) if (f / "config.json").is_file()), None)


def _frame_size(transform: Preprocessing) -> dict[str, Any] | None:
    size = transform.frame_size()
    return None if size is None else asdict(size)
