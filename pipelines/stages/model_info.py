"""What the stages must know of a model: read from its folder where that can be done without loading it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cli.options import FrameOptions, ModelOptions
from pipelines.results.schema import Identity
from videollm.video.preprocessing.square import Preprocessing, Transform
from videollm.video.sampling.sample import Sampling

if TYPE_CHECKING:
    from videollm.models.composed import VideoLLM


@dataclass(frozen=True, kw_only=True)
class Card:
    """Facts about a model."""

    identity: Identity
    sampling: dict[str, Any]
    """Fields of videollm.video.sampling.sample.Sampling."""
    frame_size: dict[str, Any] | None
    """Fields of videollm.video.preprocessing.scale.FrameSize; None is full size."""
    notice: str | None
    loaded: dict[str, Any] | None = None
    """Facts for the record that only a loaded model knows: revision, device, dtype, attention, generation settings."""
    tower: str | None = None
    """Its `VideoLLM.tower_key`, where one is wanted."""


def card(model: VideoLLM, options: FrameOptions, *, with_tower: bool = False) -> Card:
    """The card of a loaded model, with the user's choice of frames."""
    return Card(
        identity=identity(model),
        sampling=_sampling(model.sampling, options),
        frame_size=_frame_size(model.transform),
        notice=model.notice,
        loaded={
            "revision": model.revision,
            "device": str(model.device),
            "dtype": str(model.dtype).removeprefix("torch."),
            "attention": model.llm.config._attn_implementation,
            "generation": asdict(model.generation),
        },
        tower=model.tower_key() if with_tower else None,
    )


def peek(model: ModelOptions, options: FrameOptions) -> Card | None:
    """The card of a model that lies in a folder of our own format; None where it must be loaded to know."""
    folder = None if model.connector_weights or model.connector else model_folder(model.model)
    try:
        config = json.loads((folder / "config.json").read_text()) if folder else {}
        if not isinstance(config, dict) or config.get("model_type") != "videollm":
            return None
        return Card(
            identity=Identity(model=model.model, connector=config["connector"]["name"]),
            sampling=_sampling(Sampling(**config["sampling"]), options),
            frame_size=_frame_size(Transform(**config["transform"])),
            notice=config.get("notice"),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None  # loading it says what is wrong


def model_folder(name: str) -> Path | None:
    """Where a model lies on this machine, if it does."""
    embedded = Path(str(files("videollm") / "assets")) / name
    return next((f for f in (embedded, Path(name)) if (f / "config.json").is_file()), None)


def identity(model: VideoLLM) -> Identity:
    """Who answers."""
    return Identity(model=model.name, connector=model.connector_name)


def _sampling(own: Sampling, options: FrameOptions) -> dict[str, Any]:
    chosen = replace(
        own,
        num_frames=own.num_frames if options.num_frames is None else options.num_frames,
        policy=options.sampling or own.policy,
        choose_fps=own.choose_fps if options.choose_fps is None else options.choose_fps,
        force_packing=own.force_packing if options.packing is None else options.packing,
        max_packing=max(own.max_packing, options.packing or 1),
    )
    return asdict(chosen)


def _frame_size(transform: Preprocessing) -> dict[str, Any] | None:
    size = transform.frame_size()
    return None if size is None else asdict(size)
