"""MiniCPM-V 2.6 and 4.5 in the official layout (arXiv 2408.01800, 2509.18154, github.com/OpenBMB/MiniCPM-V).

Packed videos are batched as single ones are: every pack is a group of pictures of its own, never padded, and counted
by its length. (The official batched `chat` advances by frames where the resampler returns packs, and loses videos.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, language_model
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig

VISION: Final = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 980,
    "patch_size": 14,
}
"""SigLIP so400m, where `vision_config` leaves a field out."""
NOT_LLM: Final = {
    "architectures", "auto_map", "version", "model_type", "torch_dtype", "dtype", "transformers_version",
    "batch_vision_input", "batch_3d_resampler", "drop_vision_last_layer", "image_size", "patch_size", "query_num",
    "slice_config", "slice_mode", "vision_config", "vision_batch_size", "use_image_id", "_name_or_path",
}  # fmt: skip
"""Fields of config.json that do not describe the LLM."""
PREFIXES: Final = {"vpm.": "tower.model.", "resampler.": "connector.", "llm.": "llm."}


@dataclass(frozen=True, kw_only=True)
class Version:
    """What a version's code says and its config.json does not."""

    llm: str
    connector: dict[str, Any]
    sampling: dict[str, Any]
    max_slices_of_frames: int
    repetition_penalty: float


VERSIONS: Final = {
    "2.6": Version(
        llm="qwen2",
        connector={"name": "resampler2d", "config": {}},
        sampling={"policy": "fps_stride", "num_frames": 64},
        max_slices_of_frames=2,
        repetition_penalty=1.05,
    ),
    "4.5": Version(
        llm="qwen3",
        connector={"name": "resampler3d", "config": {"frames_per_pack": 0}},  # a group of pictures is a pack
        sampling={"policy": "fps_pack", "choose_fps": 3.0, "max_num_frames": 180, "max_packing": 3},
        max_slices_of_frames=1,
        repetition_penalty=1.03,
    ),
}
"""`version` of config.json (that of preprocessor_config.json says 2.6 in 4.5 too)."""


class MiniCPMV(ComposedFamily):
    """Folders of the official layout, read without their code."""

    title: ClassVar[str] = "MiniCPM-V 2.6, 4.5"
    parts: ClassVar[str] = "SigLIP at any resolution; 2D or 3D resampler; Qwen2 or Qwen3"
    published: ClassVar[tuple[str, ...]] = ("openbmb/MiniCPM-V-2_6", "openbmb/MiniCPM-V-4_5")
    licence: ClassVar[str] = "MiniCPM Model License (2.6), Apache-2.0 (4.5)"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"minicpmv": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files, and adapt the model to what is asked for as its makers do."""
        file = folder / "config.json"
        generation = read_optional_json(folder / "generation_config.json")
        preprocessor = read_optional_json(folder / "preprocessor_config.json")
        config = configure(file, read_json(file), generation, preprocessor)
        if options.replaces_connector(config):  # others see a clip as a whole: they know no packs and no slices
            config = replace(config, transform={**config.transform, "whole_clip": True})
        if options.thinking:
            config = replace(config, generation={**config.generation, "repetition_penalty": 1.0})
        return config

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=rename)]


def configure(
    file: Path, values: dict[str, Any], generation: dict[str, Any], preprocessor: dict[str, Any]
) -> ModelConfig:
    """Translate a config.json.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        generation: what generation_config.json holds; its end tokens are used.
        preprocessor: what preprocessor_config.json holds.
    Raises:
        UserError: a field is missing or has a value that is not known.
    """
    number = str(require(values, "version", file))
    if number not in VERSIONS:
        raise UserError(f"{file} has version {number!r}; expected {' or '.join(VERSIONS)}.")
    version = VERSIONS[number]
    llm = language_model(values, NOT_LLM)
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    slicing = {**values.get("slice_config", {}), **preprocessor}
    resampler = {**version.connector["config"], "num_queries": values.get("query_num", 64)}
    return ModelConfig(
        vision={
            "kind": "navit",
            "select_layer": -2 if values.get("drop_vision_last_layer", True) else -1,
            "config": {**VISION, **values.get("vision_config", {})},
        },
        connector={"name": version.connector["name"], "config": resampler},
        llm={**llm, "model_type": version.llm},
        transform={
            "kind": "slices",
            "side": slicing.get("scale_resolution", 448),
            "patch_size": values.get("patch_size", 14),
            "max_slices": slicing.get("max_slice_nums", 9) if values.get("slice_mode", True) else 1,
            "max_slices_of_frames": version.max_slices_of_frames,
            "image_ids": slicing.get("use_image_id", True),
            "mean": tuple(preprocessor.get("norm_mean", (0.5, 0.5, 0.5))),
            "std": tuple(preprocessor.get("norm_std", (0.5, 0.5, 0.5))),
        },
        sampling=version.sampling,
        generation={
            "max_new_tokens": 2048,
            "temperature": 0.7,
            "top_p": 0.8,
            "top_k": 100,
            "repetition_penalty": version.repetition_penalty,
        },
    )


def rename(name: str) -> str | None:
    """Translate an official name of a weight."""
    if name in ("vpm.embeddings.position_ids", "resampler.pos_embed") or name.endswith("rotary_emb.inv_freq"):
        return None  # buffers that some releases stored
    for official, ours in PREFIXES.items():
        if name.startswith(official):
            return ours + name.removeprefix(official)
    return name
