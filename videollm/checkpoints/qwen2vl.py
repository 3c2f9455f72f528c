"""Qwen2-VL and Qwen2.5-VL in their published layout (arXiv:2409.12191, 2502.13923), as they were released.

transformers 5.3 and later give text after a video other positions than the models were trained with; and its video
processor leaves frames as large as they are, where the authors' own loader (qwen-vl-utils) bounds them. Both are as
released here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, SIZED, ComposedFamily, generation_settings, language_model
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.options import Options
from videollm.models.config import ModelConfig

NOT_LLM: Final = {
    "architectures", "auto_map", "model_type", "torch_dtype", "dtype", "transformers_version", "_name_or_path",
    "vision_config", "text_config", "vision_start_token_id", "vision_end_token_id", "vision_token_id",
    "image_token_id", "video_token_id",
}  # fmt: skip
"""Fields of config.json that do not describe the LLM."""
VISION: Final = {"patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2}
"""Where `vision_config` leaves a field out."""
VERSIONS: Final[dict[str, dict[str, Any]]] = {
    "qwen2_vl": {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4},
    "qwen2_5_vl": {"window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2},
}
"""`model_type` -> further fields of `vision_config`."""
MIN_PIXELS: Final = 128 * 28**2
MAX_PIXELS: Final = 768 * 28**2
TOTAL_PIXELS: Final = int(128_000 * 28**2 * 0.9)
"""Bounds of qwen-vl-utils for a frame, and for all pairs of frames of a clip."""


class Qwen2VL(ComposedFamily):
    """Folders of the published layout; some that were saved again have a `text_config`."""

    title: ClassVar[str] = "Qwen2-VL, Qwen2.5-VL"
    parts: ClassVar[str] = (
        "ViT with rotary places (2.5 with windows), frames in pairs; patch_merger; "
        "Qwen2 with positions of three components"
    )
    published: ClassVar[tuple[str, ...]] = (
        "Qwen/Qwen2-VL-7B-Instruct",
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "Qwen/Qwen2.5-VL-7B-Instruct",
    )
    licence: ClassVar[str] = "Apache-2.0; Qwen2.5-VL-3B: Qwen Research License; 72B: Qwen License"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"qwen2_5_vl": PROVEN, "qwen2_vl": (SIZED,)}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read the configuration files."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        preprocessor = read_optional_json(folder / "preprocessor_config.json")
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
        preprocessor: what preprocessor_config.json holds.
    Raises:
        UserError: a field is missing.
    """
    kind = values["model_type"]
    vision = {**VISION, **VERSIONS[kind], **require(values, "vision_config", file)}
    llm = language_model({**values, **values.get("text_config", {})}, NOT_LLM)
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    most = min(preprocessor.get("max_pixels", MAX_PIXELS), MAX_PIXELS)
    return ModelConfig(
        vision={"kind": kind.replace("_", ""), "config": vision},
        connector={
            "name": "patch_merger",
            "config": {"side": vision["spatial_merge_size"], "norm": "layer" if kind == "qwen2_vl" else "rms"},
        },
        llm={**llm, "model_type": f"{kind}_text"},
        transform={
            "kind": "budget",
            "multiple": vision["patch_size"] * vision["spatial_merge_size"],
            "temporal_patch": vision["temporal_patch_size"],
            "min_pixels": MIN_PIXELS if most > MIN_PIXELS else preprocessor.get("min_pixels", 1),
            "max_pixels": most,
            "total_pixels": vision["temporal_patch_size"] * TOTAL_PIXELS,
            "mean": tuple(preprocessor.get("image_mean", (0.48145466, 0.4578275, 0.40821073))),
            "std": tuple(preprocessor.get("image_std", (0.26862954, 0.26130258, 0.27577711))),
        },
        sampling={"policy": "fps_linspace", "choose_fps": 2.0, "multiple": 2},
        generation=generation_settings(generation),
        prompt={"placeholder": "<|video_pad|>"},
        positions={"kind": "multimodal", "steps_per_second": vision.get("tokens_per_second")},
    )


def rename(name: str) -> str | None:
    """Translate a name of a weight, of the first releases or of transformers 4.52 and later."""
    name = name.removeprefix("model.") if name.startswith(("model.visual.", "model.language_model.")) else name
    if name.startswith("language_model."):
        name = f"model.{name.removeprefix('language_model.').removeprefix('model.')}"
    if name.startswith("visual.merger."):
        return f"connector.{name.removeprefix('visual.merger.')}"
    if name.startswith("visual."):
        return f"tower.{name.removeprefix('visual.')}"
    return f"llm.{name}"
