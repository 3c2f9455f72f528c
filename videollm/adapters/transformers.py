"""`--engine transformers`: any AutoModelForImageTextToText, by its own processor and `generate`, on our frames."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from videollm.adapters import Adapter
from videollm.checkpoints.family import generation_settings
from videollm.checkpoints.folder import read_json, read_optional_json
from videollm.checkpoints.hub import CONFIGURATION, find_model, is_local
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.protocol import ModelInfo
from videollm.types import Generation
from videollm.video.sampling import Sampling

if TYPE_CHECKING:
    from videollm.adapters.generating import TransformersVLM

NAME: Final = "transformers"
NUM_FRAMES: Final = 16
"""Frames of models whose files name no rule."""


class Transformers(Adapter):
    """Loads a folder of the layout of transformers; code that lies in it is not run."""

    @classmethod
    def describe(cls, options: Options) -> ModelInfo:
        """Check a model's configuration and its processor, see `Adapter.describe`."""
        cls.config(options)
        return describe(options, NAME, check_model_type)

    @classmethod
    def load(cls, options: Options, folder: Path | None = None) -> TransformersVLM:
        """Load a model, see `Adapter.load`."""
        from videollm.adapters.generating import load

        cls.config(options)
        info = describe(options, NAME, check_model_type)
        return load(find_model(options.name) if folder is None else folder, options, info)


def describe(options: Options, engine: str, check: Any) -> ModelInfo:
    """Describe a model by its configuration and its processor.

    Args:
        options: of loading.
        engine: what will run it, for messages.
        check: raises UserError where the engine cannot run a folder.
    Raises:
        UserError: no such model; a package is missing; or the engine cannot run it.
    """
    from videollm.adapters.processing import OWN_SIZE, check_torchvision, load_processor
    from videollm.models.whole import NO_CONNECTOR  # torch

    check_torchvision(engine)
    folder = find_model(options.name, patterns=CONFIGURATION)
    check(folder)
    if is_local(options.name) and not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder / 'model.safetensors'} is missing. Fetch or save the model folder again.")
    sampling, notice = choose_sampling(load_processor(folder, engine), options.name)
    settings = generation_settings(read_optional_json(folder / "generation_config.json"))
    return ModelInfo(
        name=options.name,
        connector=NO_CONNECTOR,
        sampling=asdict(sampling),
        frame_size=asdict(OWN_SIZE),
        generation=asdict(Generation(**settings)),
        notice=notice,
        can_score=True,
        revision=folder.name if folder.parent.name == "snapshots" else None,
    )


def choose_sampling(processor: Any, model: str) -> tuple[Sampling, str | None]:
    """Choose the frames that a model sees: as its files say, or evenly spread.

    Returns:
        The choice, and what users should know of it.
    """
    from videollm.adapters.processing import takes_videos
    from videollm.adapters.processor_sampling import ProcessorSampling

    if takes_videos(processor) and getattr(processor.video_processor, "do_sample_frames", None):
        return ProcessorSampling(model=model), None
    kind = "as a video" if takes_videos(processor) else "as images, without their times"
    return Sampling(policy="linspace", num_frames=NUM_FRAMES), (
        f"{model} names no rule for frames: it is given {NUM_FRAMES}, evenly spread, or --num-frames, {kind}."
    )


def check_model_type(folder: Path) -> None:
    """Check that transformers has the model of a folder.

    Raises:
        UserError: it has not.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    kind = str(read_json(folder / "config.json").get("model_type"))
    if kind not in KNOWN:
        raise UserError(
            f"{folder / 'config.json'} has model_type {kind!r}, for which transformers {version('transformers')} has "
            f"no AutoModelForImageTextToText ({len(KNOWN)} others). Use --engine builtin, or another version."
        )
