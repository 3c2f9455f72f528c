"""LLaVA-Video and LLaVA-OneVision in the authors' own layout (arXiv:2410.02713, github.com/LLaVA-VL/LLaVA-NeXT).

Frames are pooled behind the projector. Where they are told (LLaVA-Video), the length of the video and the times of its
frames follow the visual tokens, ahead of the question.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, SIZED, ComposedFamily, language_model
from videollm.checkpoints.folder import Rename, Renamed, Source, read_json, read_optional_json, weight_files
from videollm.checkpoints.names import causal_lm, vit
from videollm.checkpoints.options import Options
from videollm.checkpoints.towers import find_tower, tower_elsewhere
from videollm.errors import UserError
from videollm.models.config import ModelConfig
from videollm.prompts.templates import CHATML

NUM_FRAMES: Final = {True: 64, False: 32}
"""As in the authors' evaluations, of models that are told the times of frames and of those that are not."""
NEWLINES: Final = {"grid": "row", "frame": "frame", "one_token": "clip", "no_token": "none"}
"""`mm_newline_position` -> that of the connector."""
TIMES: Final = (
    "\nThe video lasts for {length:.2f} seconds, and {number} frames are uniformly sampled from it. These frames are "
    "located at {times}.Please answer the following questions related to this video."
)
EXPECTED: Final[dict[str, tuple[Any, ...]]] = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_resampler_type": (None,),
    "mm_spatial_pool_mode": ("bilinear", "average", "max"),
    "mm_spatial_pool_stride": (2,),
    "mm_newline_position": ("one_token", "grid", "frame", "no_token"),
    "mm_use_im_start_end": (False,),
    "add_faster_video": (False,),
}
"""Fields with the values that are read, the first where config.json has none. The code that was published pools with
stride 2 whatever the file says, and lacks what slow and fast frames need."""
SELECT_LAYER: Final = -2
"""The authors' SigLIP has lost its last layer, whatever `mm_vision_select_layer` says."""
TOWER: Final = "model.vision_tower.vision_tower.vision_model."
PROJECTOR: Final = {"0": "linear_1", "2": "linear_2"}
FOREIGN: Final = {
    "architectures", "auto_map", "torch_dtype", "dtype", "transformers_version", "add_faster_video",
    "add_time_instruction", "faster_token_stride", "force_sample", "image_aspect_ratio", "image_crop_resolution",
    "image_grid_pinpoints", "image_split_resolution", "image_token_index", "pos_skipping_range", "text_config",
    "tokenizer_model_max_length", "tokenizer_padding_side", "unfreeze_mm_vision_tower", "use_mm_proj",
    "use_pos_skipping", "vision_config", "vision_feature_layer", "vision_feature_select_strategy",
    "vision_tower_pretrained",
}  # fmt: skip
"""Fields of config.json that do not describe the LLM, beside those that begin with mm_, tune_mm_ or an underscore."""


class Llava(ComposedFamily):
    """Folders of the authors' layout, with SigLIP and Qwen2."""

    title: ClassVar[str] = "LLaVA-Video, LLaVA-OneVision (the authors' layout)"
    parts: ClassVar[str] = (
        "SigLIP; mlp_pool (newline tokens after rows, frames, clips or nothing); Qwen2, told the times of frames"
    )
    published: ClassVar[tuple[str, ...]] = (
        "lmms-lab/LLaVA-Video-7B-Qwen2",
        "lmms-lab/llava-onevision-qwen2-7b-ov",
    )
    licence: ClassVar[str] = "Apache-2.0"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"LlavaQwenForCausalLM": PROVEN, "llava_qwen": (SIZED,)}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read config.json and the configuration of the vision tower."""
        file = folder / "config.json"
        values = read_json(file)
        generation = read_optional_json(folder / "generation_config.json")
        return configure(file, values, find_tower(folder, values)[1], generation)

    @classmethod
    def elsewhere(cls, folder: Path, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Name the repository with the configuration of the vision tower."""
        return tower_elsewhere(folder, read_json(folder / "config.json"))

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=renamer(config))]


def configure(
    file: Path, values: dict[str, Any], tower: dict[str, Any], generation: dict[str, Any] | None = None
) -> ModelConfig:
    """Translate a config.json.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        tower: transformers' configuration of the vision tower.
        generation: what generation_config.json holds; its end tokens are used.
    Raises:
        UserError: a field has a value that is not known.
    """
    read = {n: known[0] if values.get(n) is None else values[n] for n, known in EXPECTED.items()}
    for name, known in EXPECTED.items():
        if read[name] not in known:
            raise UserError(f"{file} has {name} {read[name]!r}; expected one of {', '.join(map(repr, known))}.")
    if not str(tower["model_type"]).startswith("siglip"):
        raise UserError(f"{file} has the vision tower {values['mm_vision_tower']!r}; expected a SigLIP.")
    newline = NEWLINES[read["mm_newline_position"]]
    merge = str(values.get("mm_patch_merge_type", "flat"))
    if "unpad" not in merge:  # there is no such token among the weights
        if newline in ("row", "frame") and merge != "flat":
            raise UserError(f"{file} has mm_patch_merge_type {merge!r}; expected 'spatial_unpad', for a newline token.")
        newline = "none"
    told = bool(values.get("add_time_instruction", False))
    alien = {k for k in values if k.startswith(("mm_", "tune_mm_", "_"))}
    llm = language_model(values, FOREIGN | alien)
    if (ends := (generation or {}).get("eos_token_id")) is not None:
        llm["eos_token_id"] = ends
    return ModelConfig(
        vision={"kind": "siglip", "select_layer": SELECT_LAYER, "config": tower},
        connector={"name": "mlp_pool", "config": {"pool": read["mm_spatial_pool_mode"], "newline": newline}},
        llm={**llm, "model_type": "qwen2"},
        transform={
            "size": tower["image_size"],
            "exact": True,
            **({"kind": "timed_square", "outro": TIMES} if told else {}),
        },
        sampling={"policy": "linspace", "num_frames": NUM_FRAMES[told], "cut": True},
        generation={"max_new_tokens": 1024},
        prompt={**CHATML, "system": "You are a helpful assistant."},
    )


def renamer(config: ModelConfig) -> Rename:
    """Make the translation of names."""
    of_tower = vit(config.vision["config"]["num_hidden_layers"], config.vision["select_layer"])
    newline = config.connector["config"]["newline"] != "none"

    def rename(name: str) -> Renamed:
        if name.startswith(TOWER):
            return of_tower(name.removeprefix(TOWER))
        if name.startswith("model.mm_projector."):
            place, _, leaf = name.removeprefix("model.mm_projector.").partition(".")
            return f"connector.{PROJECTOR.get(place, place)}.{leaf}"
        if name == "model.image_newline":
            return "connector.image_newline" if newline else None
        return causal_lm(name)

    return rename
