"""VideoLLaMA3 (arXiv:2501.13106, github.com/DAMO-NLP-SG/VideoLLaMA3).

There are two layouts: that of transformers (hub uploads named -HF), and the authors' own, whose code takes other
frames, scales them with PIL, and writes a system message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, generation_settings, language_model
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig
from videollm.prompts.templates import CHATML

VISION: Final = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "patch_size": 16, "layer_norm_eps": 1e-6,
}  # fmt: skip
"""Where `vision_config` leaves a field out; the other fields are not the tower's."""
NOT_LLM: Final = {"architectures", "torch_dtype", "dtype", "transformers_version", "_name_or_path"}
"""Fields of `text_config` that do not describe the LLM."""
FOREIGN: Final = NOT_LLM | {"auto_map", "image_token_index", "loss_reduction_scope", "mm_projector_type",
                            "use_token_compression", "vision_encoder", "vision_encoder_config"}  # fmt: skip
"""Fields of the authors' config.json that do not describe the LLM, beside those that begin with mm_."""
PREPROCESSOR: Final = {"merge_size": 2, "min_frames": 4, "max_frames": 180}
MIN_PIXELS: Final = 128 * 28**2
MAX_PIXELS: Final = 768 * 28**2
"""Where the processor's file leaves a field out."""
OWN: Final = {"min_tokens": 16, "max_tokens": 16384, "patch_size": 14, "fps": 1, "max_frames": 180,
              "video_merge_size": 2}  # fmt: skip
"""The same of the authors' files."""


class VideoLLaMA3(ComposedFamily):
    """Folders of the layout of transformers."""

    title: ClassVar[str] = "VideoLLaMA3, uploads named -HF"
    parts: ClassVar[str] = "SigLIP with rotary places, frames of any size; diff_fp (drops what does not change); Qwen2"
    published: ClassVar[tuple[str, ...]] = ("lkhl/VideoLLaMA3-2B-Image-HF", "lkhl/VideoLLaMA3-7B-Image-HF")
    licence: ClassVar[str] = "Apache-2.0"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"video_llama_3": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        of_images = read_optional_json(folder / "preprocessor_config.json")
        preprocessor = read_optional_json(folder / "video_preprocessor_config.json") or of_images
        return configure(file, values, generation, preprocessor)

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=rename)]


class VideoLLaMA3Qwen2(VideoLLaMA3):
    """Folders of the authors' own layout."""

    title: ClassVar[str] = "VideoLLaMA3 (the authors' layout)"
    published: ClassVar[tuple[str, ...]] = ("DAMO-NLP-SG/VideoLLaMA3-2B", "DAMO-NLP-SG/VideoLLaMA3-7B")
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"videollama3_qwen2": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        processor = read_optional_json(folder / "preprocessor_config.json")
        processor |= read_optional_json(folder / "processor_config.json")
        return configure_own(file, values, generation, processor)


def configure(
    file: Path, values: dict[str, Any], generation: dict[str, Any], preprocessor: dict[str, Any]
) -> ModelConfig:
    """Translate a config.json.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        generation: what generation_config.json holds.
        preprocessor: what the file of the video processor holds, or that of the image processor.
    Raises:
        UserError: a field is missing.
    """
    tower = require(values, "vision_config", file)
    vision = {name: tower.get(name, default) for name, default in VISION.items()}
    llm = language_model(require(values, "text_config", file), NOT_LLM)
    llm["tie_word_embeddings"] = values.get("tie_word_embeddings") or llm.get("tie_word_embeddings", False)
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    settings = {**PREPROCESSOR, **preprocessor}
    size = settings.get("size") or {}
    drops = settings.get("use_token_compression", True)
    return ModelConfig(
        vision={"kind": "videollama3", "config": vision},
        connector={
            "name": "diff_fp",
            "config": {"side": settings["merge_size"], **({} if drops else {"threshold": -1.0})},
        },
        llm=llm,
        transform={
            "kind": "budget",
            "multiple": vision["patch_size"] * settings["merge_size"],
            "temporal_patch": 1,
            "min_pixels": settings.get("min_pixels") or size.get("shortest_edge", MIN_PIXELS),
            "total_pixels": settings.get("max_pixels") or size.get("longest_edge", MAX_PIXELS),
            "slack": 0.0,
            "label": "Time {seconds:.1f}s:",
            "between": ",",
            "mean": tuple(settings.get("image_mean", (0.5, 0.5, 0.5))),
            "std": tuple(settings.get("image_std", (0.5, 0.5, 0.5))),
        },
        sampling={
            "policy": "fps_linspace",
            "choose_fps": settings.get("fps") or 1.0,
            "min_num_frames": settings["min_frames"],
            "max_num_frames": settings["max_frames"],
            "spread": "arange",
        },
        generation=generation_settings(generation),
        prompt={"placeholder": "<|video_pad|>"},
    )


def configure_own(
    file: Path, values: dict[str, Any], generation: dict[str, Any], processor: dict[str, Any]
) -> ModelConfig:
    """Translate a config.json of the authors' layout.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        generation: what generation_config.json holds.
        processor: what preprocessor_config.json and processor_config.json hold.
    Raises:
        UserError: a field is missing, or has a value that is not known.
    """
    if (kind := values.get("mm_projector_type", "mlp2x_gelu")) != "mlp2x_gelu":
        raise UserError(f"{file} has mm_projector_type {kind!r}; expected 'mlp2x_gelu'.")
    text = {k: v for k, v in values.items() if k not in FOREIGN and not k.startswith("mm_")}
    settings = {**OWN, **processor}
    area = (settings["patch_size"] * settings["video_merge_size"]) ** 2
    given = {
        "text_config": {**text, "model_type": "qwen2"},
        "vision_config": require(values, "vision_encoder_config", file),
        "tie_word_embeddings": values.get("tie_word_embeddings", False),
    }
    common = {
        **settings,
        "merge_size": settings["video_merge_size"],
        "min_pixels": settings["min_tokens"] * area,
        "max_pixels": settings["max_tokens"] * area,
        "use_token_compression": values.get("use_token_compression", True),
    }
    config = configure(file, given, generation, common)
    return replace(
        config,
        transform={**config.transform, "filter": "pil"},
        sampling={
            "policy": "fps_filter",
            "choose_fps": settings["fps"] or OWN["fps"],
            "max_num_frames": settings["max_frames"],
        },
        prompt={**CHATML, "system": "You are a helpful assistant."},
    )


def rename(name: str) -> str | None:
    """Translate a name of a weight."""
    name = name.removeprefix("model.")
    if name.startswith(("vision_model.", "vision_encoder.")):
        inside = name.partition(".")[2].removeprefix("embeddings.").removeprefix("encoder.")
        return f"tower.{inside.replace('.mlp.fc', '.mlp.linear_fc')}"
    if name.startswith(("projector.", "mm_projector.")):
        return f"connector.{name.partition('.')[2]}"
    return f"llm.{name}" if name.startswith("lm_head.") else f"llm.model.{name.removeprefix('language_model.')}"
