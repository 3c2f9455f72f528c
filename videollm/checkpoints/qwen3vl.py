"""Qwen3-VL in its published layout (arXiv:2511.21631, github.com/QwenLM/Qwen3-VL), prompted as it was released.

transformers 5.10 and later write two more control tokens around a video than the models were released with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, generation_settings
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.models.config import ModelConfig

MIN_PIXELS: Final = 4096
MAX_PIXELS: Final = 25_165_824
"""Pixels of all frames of a clip, where video_preprocessor_config.json leaves them out."""
LLMS: Final = {"qwen3_vl": "qwen3_vl_text", "qwen3_vl_moe": "qwen3_vl_moe_text"}
"""`model_type` -> that of the text model."""


class Qwen3VL(ComposedFamily):
    """Folders of the published layout."""

    title: ClassVar[str] = "Qwen3-VL"
    parts: ClassVar[str] = (
        "ViT with a table and rotary places, frames in pairs; deep_patch_merger (deepstack); "
        "Qwen3 with positions of three components"
    )
    published: ClassVar[tuple[str, ...]] = ("Qwen/Qwen3-VL-2B-Instruct", "Qwen/Qwen3-VL-8B-Instruct")
    licence: ClassVar[str] = "Apache-2.0"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"qwen3_vl": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        preprocessor = read_optional_json(folder / "video_preprocessor_config.json")
        return configure(file, values, generation, preprocessor)

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
        generation: what generation_config.json holds.
        preprocessor: what video_preprocessor_config.json holds.
    Raises:
        UserError: a field is missing.
    """
    vision, text = require(values, "vision_config", file), dict(require(values, "text_config", file))
    text |= {"model_type": LLMS[values["model_type"]], "tie_word_embeddings": values.get("tie_word_embeddings", False)}
    if (ends := generation.get("eos_token_id")) is not None:
        text["eos_token_id"] = ends
    size = preprocessor.get("size", {})
    layers = [i + 1 for i in vision["deepstack_visual_indexes"]]
    return ModelConfig(
        vision={"kind": "qwen3vl", "config": vision},
        connector={
            "name": "deep_patch_merger",
            "config": {"side": vision["spatial_merge_size"], "layers": tuple(layers)},
        },
        llm=text,
        transform={
            "kind": "budget",
            "multiple": vision["patch_size"] * vision["spatial_merge_size"],
            "temporal_patch": vision["temporal_patch_size"],
            "min_pixels": size.get("shortest_edge", MIN_PIXELS),
            "total_pixels": size.get("longest_edge", MAX_PIXELS),
            "frames_bound": True,
            "before": "<|vision_start|>",
            "after": "<|vision_end|>",
            "label": "<{seconds:.1f} seconds><|vision_start|>",
            "mean": tuple(preprocessor.get("image_mean", (0.5, 0.5, 0.5))),
            "std": tuple(preprocessor.get("image_std", (0.5, 0.5, 0.5))),
        },
        sampling={"policy": "fps_linspace", "choose_fps": 2.0},
        generation=generation_settings(generation),
        prompt={"placeholder": "<|vision_start|><|video_pad|><|vision_end|>"},
        positions={"kind": "multimodal"},
    )


def rename(name: str) -> str | None:
    """Translate a name of a weight."""
    name = name.removeprefix("model.")
    if name.startswith(("visual.merger.", "visual.deepstack_merger_list.")):
        return f"connector.{name.removeprefix('visual.')}"
    if name.startswith("visual."):
        return f"tower.{name.removeprefix('visual.')}"
    return f"llm.{name}" if name.startswith("lm_head.") else f"llm.model.{name.removeprefix('language_model.')}"
