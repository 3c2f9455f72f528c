"""VILA1.5 with and without S2, and NVILA, in the official layout (arXiv:2312.07533, arXiv:2412.04468,
github.com/NVlabs/VILA, branches vila1.5 and main).

Both have the same `model_type`, names and shapes, and another order of tokens: fields that only later code writes tell.
A frame of a video is one tile for NVILA, whose channels stand for all scales of a picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, ComposedFamily, control_tokens, language_model
from videollm.checkpoints.folder import Source, read_json, read_optional_json, require, weight_files
from videollm.checkpoints.names import causal_lm, vit
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig
from videollm.prompts.templates import VICUNA_V1, llama_3

LLM, TOWER, PROJECTOR = "llm", "vision_tower", "mm_projector"
"""Folders of the parts."""
NVILA: Final = {"image_encoder", "video_encoder", "dynamic_s2", "ps3"}
"""Fields of config.json that later versions of the code write."""
SIDES: Final = {"mlp_downsample": 2, "mlp_downsample_2x2_fix": 2, "mlp_downsample_3x3_fix": 3}
"""`mm_projector_type` of NVILA -> rows and columns of patches that become a token."""
ENCODERS: Final = {"image_encoder": "BasicImageEncoder", "video_encoder": "BasicVideoEncoder"}
"""What writes a line break behind the tokens of a picture, and nothing in front."""
EXPECTED: Final[dict[str, Any]] = {
    "mm_vision_select_feature": "cls_patch",
    "image_aspect_ratio": "resize",
    "mm_use_im_start_end": False,
    "mm_use_im_patch_token": False,
}
"""What all published checkpoints say."""
NOT_LLM: Final = {"architectures", "auto_map", "torch_dtype", "dtype", "transformers_version", "_name_or_path",
                  "model_max_length", "tokenizer_model_max_length", "tokenizer_padding_side"}  # fmt: skip
"""Fields of llm/config.json that do not describe the LLM."""


class VILA(ComposedFamily):
    """Folders of the official layout: three parts with a config.json and weights each, the LLM's with the tokenizer."""

    title: ClassVar[str] = "VILA1.5 3B, 8B, 13B; NVILA, proven in parts alone"
    parts: ClassVar[str] = "SigLIP, with S2 or without; mlp_downsample (NVILA row by row); Llama or Qwen2"
    published: ClassVar[tuple[str, ...]] = (
        "Efficient-Large-Model/VILA1.5-3b-s2",
        "Efficient-Large-Model/VILA1.5-3b",
        "Efficient-Large-Model/NVILA-8B",
        "Efficient-Large-Model/NVILA-Lite-8B",
    )
    licence: ClassVar[str] = "CC-BY-NC-4.0"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"llava_llama": PROVEN}

    @classmethod
    def llm_folder(cls, folder: Path) -> Path:
        """Return the folder of the LLM."""
        return folder / LLM

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read config.json, and those of the parts."""
        file = folder / "config.json"
        parts = {name: read_json(folder / name / "config.json") for name in (LLM, TOWER, PROJECTOR)}
        generation = read_optional_json(folder / LLM / "generation_config.json")
        tokenizer = read_optional_json(folder / LLM / "tokenizer_config.json")
        return configure(file, read_json(file), parts, generation, tokenizer)

    @classmethod
    def check_weights(cls, folder: Path) -> None:
        """Check that the folders of the parts hold weights."""
        for name in (LLM, TOWER, PROJECTOR):
            super().check_weights(folder / name)

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the weights of the parts."""
        cls.check_weights(folder)
        of_tower = vit(config.vision["config"]["num_hidden_layers"], config.vision["select_layer"])
        return [
            Source(files=weight_files(folder / LLM), rename=causal_lm),
            Source(files=weight_files(folder / TOWER), rename=lambda n: of_tower(n.removeprefix("vision_model."))),
            Source(files=weight_files(folder / PROJECTOR), rename=lambda name: f"connector.{name}"),
        ]


def configure(
    file: Path,
    values: dict[str, Any],
    parts: dict[str, dict[str, Any]],
    generation: dict[str, Any],
    tokenizer: dict[str, Any],
) -> ModelConfig:
    """Translate the configuration files.

    Args:
        file: config.json, for messages.
        values: what it holds.
        parts: folder -> what its config.json holds.
        generation: what generation_config.json of the LLM holds; its end tokens are used.
        tokenizer: what tokenizer_config.json of the LLM holds; its control tokens tell the prompt.
    Raises:
        UserError: a field is missing or has a value that is not known.
    """
    if NVILA & values.keys():
        return configure_nvila(file, values, parts, generation)
    tower, kind = parts[TOWER], parts[PROJECTOR].get("mm_projector_type")
    for name, got, expected in [
        *((name, values.get(name, expected), expected) for name, expected in EXPECTED.items()),
        (f"{TOWER}/ model_type", tower.get("model_type"), "siglip_vision_model"),
        (f"{PROJECTOR}/ mm_projector_type", kind, "mlp_downsample"),
    ]:
        if got != expected:
            raise UserError(f"{file} has {name} {got!r}; expected {expected!r}, as VILA1.5 of 3B to 13B has.")
    vision = {"kind": "siglip", "select_layer": values.get("mm_vision_select_layer", -2), "config": tower}
    size = tower["image_size"]
    if values.get("s2"):
        scales = sorted(int(scale) for scale in str(require(values, "s2_scales", file)).split(","))
        vision |= {"kind": "siglip_s2", "scales": tuple(scales), "split": require(values, "s2_max_split_size", file)}
        size = scales[-1]  # preprocessor_config.json says it too, and vision_tower/config.json does not
    llm = language_model(parts[LLM], NOT_LLM)
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    return ModelConfig(
        vision=vision,
        connector={"name": "mlp_downsample", "config": {"order": "columns"}},
        llm=llm,
        transform={"size": size, "exact": True, "label": ""},
        # Of a video with fewer frames the official code shows black ones too, or none that are not black.
        sampling={
            "policy": "linspace",
            "num_frames": values.get("num_video_frames") or 8,
            "last": False,
            "repeat": False,
        },
        generation={"max_new_tokens": 512, "temperature": 0.2},
        prompt=llama_3("assistant") if "<|start_header_id|>" in control_tokens(tokenizer) else VICUNA_V1,
    )


def configure_nvila(
    file: Path, values: dict[str, Any], parts: dict[str, dict[str, Any]], generation: dict[str, Any]
) -> ModelConfig:
    """Translate the configuration files of NVILA; arguments and errors as `configure`."""
    tower, kind = parts[TOWER], parts[PROJECTOR].get("mm_projector_type")
    encoders = {name: _encoder(values.get(name)) for name in ENCODERS}
    for name, got, expected in [
        ("ps3", bool(values.get("ps3", False)), (False,)),
        ("s2", bool(values.get("s2", False)), (False,)),
        ("fps", values.get("fps") or 0, (0,)),
        ("mm_vision_select_feature", values.get("mm_vision_select_feature", "cls_patch"), ("cls_patch",)),
        ("image_aspect_ratio", values.get("image_aspect_ratio"), ("dynamic_s2", "dynamic", "resize")),
        *((name, encoders[name], (target,)) for name, target in ENCODERS.items()),
        (f"{TOWER}/ model_type", tower.get("model_type"), ("siglip_vision_model",)),
        (f"{PROJECTOR}/ mm_projector_type", kind, tuple(SIDES)),
    ]:
        if got not in expected:
            raise UserError(f"{file} has {name} {got!r}; expected one of {', '.join(map(repr, expected))}.")
    copies = 1
    if values.get("dynamic_s2"):
        scales = require(values, "s2_scales", file)
        copies = len(scales.split(",") if isinstance(scales, str) else scales)
    llm = language_model(parts[LLM], NOT_LLM)
    if (ends := generation.get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    return ModelConfig(
        vision={"kind": "siglip", "select_layer": values.get("mm_vision_select_layer", -2), "config": tower},
        connector={
            "name": "mlp_downsample",
            "config": {"order": "rows", "side": SIDES[str(kind)], "copies": copies},
        },
        llm=llm,
        transform={"size": tower["image_size"], "exact": True, "label": ""},
        sampling={"policy": "linspace", "num_frames": values.get("num_video_frames") or 8},
        generation={"max_new_tokens": 1024},
    )


def _encoder(value: Any) -> str:
    """Read the name of the class that puts tokens around pictures; what it is called with tells others apart."""
    settings = json.loads(value) if isinstance(value, str) else value
    if not isinstance(settings, dict):
        return str(value)
    name = str(settings.get("_target_")).rpartition(".")[2]
    plain = settings.get("start_tokens") is None and settings.get("end_tokens", "\n") == "\n"
    return name if plain else f"{name} with other words"
