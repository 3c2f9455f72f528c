"""MiniCPM-V 4.6 and 4.7 in the layout of transformers (github.com/OpenBMB/MiniCPM-V), asked about videos as their model
cards do: frames are not cut into slices, and not numbered.

4.7 differs in its positions alone; its LLM may be a mixture of experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, generation_settings, language_model
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.names import causal_lm
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig

NOT_TOWER: Final = {"insert_layer_id", "window_kernel_size", "model_type", "dtype", "torch_dtype"}
"""Fields of `vision_config` that do not describe the ViT."""
NOT_LLM: Final = {"architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path"}
"""Fields of `text_config` that do not describe the LLM."""
MARKERS: Final = ("image_start_id", "image_end_id", "slice_start_id", "slice_end_id", "newline_id")
"""Fields of config.json with the tokens that lie on a canvas (4.7)."""
PREFIXES: Final = {
    "vision_tower.vit_merger.": "tower.vit_merger.",
    "vision_tower.": "tower.model.",
    "merger.": "connector.",
}


class MiniCPMV46(ComposedFamily):
    """Folders of the published layout."""

    presets: ClassVar[tuple[str, ...]] = ("16x", "4x")
    title: ClassVar[str] = "MiniCPM-V 4.6, 4.7"
    parts: ClassVar[str] = (
        "SigLIP at any resolution, which merges 2 x 2 patches inside; repeated_merger; Qwen3.5 (recurrent layers), in "
        "4.7 with a canvas of positions for each frame"
    )
    published: ClassVar[tuple[str, ...]] = (
        "openbmb/MiniCPM-V-4.6",
        "openbmb/MiniCPM-V-4.6-Thinking",
        "openbmb/MiniCPM-V-4.7-1B",
        "openbmb/MiniCPM-V-4.7-35B-A3B",
    )
    licence: ClassVar[str] = "Apache-2.0"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"minicpmv4_6": PROVEN, "minicpmv4_7": PROVEN}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        if options.preset is not None:
            values["downsample_mode"] = options.preset
        processor = {
            **read_optional_json(folder / "preprocessor_config.json"),
            **read_optional_json(folder / "video_preprocessor_config.json"),
            **read_optional_json(folder / "processor_config.json").get("video_processor", {}),
        }
        names = read_optional_json(folder / "tokenizer_config.json")
        generation = read_optional_json(folder / "generation_config.json")
        return configure(file, values, generation, processor, names)

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=rename)]


def configure(
    file: Path, values: dict[str, Any], generation: dict[str, Any], processor: dict[str, Any], names: dict[str, Any]
) -> ModelConfig:
    """Translate a config.json.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        generation: what generation_config.json holds.
        processor: settings of the video processor.
        names: what tokenizer_config.json holds; its names of control tokens are used.
    Raises:
        UserError: a field is missing or has a value that is not known.
    """
    vision = require(values, "vision_config", file)
    side, merges = _side(file, vision, "window_kernel_size"), values.get("downsample_mode", "16x") != "4x"
    merged, rounds = _side(file, values, "merge_kernel_size"), values.get("merger_times", 1)
    llm = {"model_type": "qwen3_5_text", **language_model(require(values, "text_config", file), NOT_LLM)}
    llm["tie_word_embeddings"] = values.get("tie_word_embeddings", False)
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    markers = tuple(values[name] for name in MARKERS if values.get(name) is not None)
    tower = {name: value for name, value in vision.items() if name not in NOT_TOWER}
    return ModelConfig(
        vision={
            "kind": "merging_navit",
            "config": tower,
            "merge_after": values.get("insert_layer_id", 6),
            "side": side,
            "merges": merges,
        },
        connector={"name": "repeated_merger", "config": {"side": merged, "rounds": rounds}},
        llm=llm,
        transform={
            "kind": "equal_area",
            "side": processor.get("scale_resolution", 448),
            "multiple": vision.get("patch_size", 16) * (4 if merges else 2),
            "before": names.get("image_start_token", "<image>"),
            "after": names.get("image_end_token", "</image>"),
            "mean": tuple(processor.get("image_mean", (0.5, 0.5, 0.5))),
            "std": tuple(processor.get("image_std", (0.5, 0.5, 0.5))),
        },
        sampling={"policy": "whole_seconds", "max_num_frames": processor.get("max_num_frames", 128)},
        generation=generation_settings(generation),
        prompt={"placeholder": names.get("video_token", "<|video_pad|>")},
        positions={"kind": "canvas", "markers": markers} if values["model_type"] == "minicpmv4_7" else {},
    )


def _side(file: Path, values: dict[str, Any], name: str) -> int:
    """Read the side of a square kernel."""
    rows, columns = values.get(name, (2, 2))
    if rows != columns:
        raise UserError(
            f"{file} has {name} {[rows, columns]}; expected a square. Use the checkpoint's own config.json."
        )
    return int(rows)


def rename(name: str) -> str | None:
    """Translate a name of a weight."""
    name = name.removeprefix("model.")
    if name.startswith("mtp."):
        return None  # predicts further tokens, which is not used
    for official, ours in PREFIXES.items():
        if name.startswith(official):
            return ours + name.removeprefix(official)
    return causal_lm(name.replace("language_model.", "model.", 1))
