"""VideoLLaMA2 and 2.1 in the official layout (arXiv 2406.07476, github.com/DAMO-NLP-SG/VideoLLaMA2)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from videollm.checkpoints.family import PROVEN, SIZED, ComposedFamily, language_model
from videollm.checkpoints.folder import (
    FILES,
    INDICES,
    Rename,
    Renamed,
    Source,
    read_json,
    read_optional_json,
    require,
    weight_files,
)
from videollm.checkpoints.hub import find_folder, is_hub_id
from videollm.checkpoints.names import causal_lm, vit
from videollm.checkpoints.options import Options
from videollm.checkpoints.towers import find_tower, tower_elsewhere
from videollm.errors import UserError
from videollm.models.config import ModelConfig

LLMS: Final = {"videollama2_mistral": "mistral", "videollama2_mixtral": "mixtral", "videollama2_qwen2": "qwen2"}
"""`model_type` -> that of the LLM alone."""
CONNECTORS: Final = {
    "stc_connector": "stc",
    "stc_connector_v35": "stc_v35",
    "stp_connector": "stp",
    "spatial_conv": "spatial_conv",
    "spatial_pool": "spatial_pool",
    "linear": "linear",
}
"""`mm_projector_type` -> connector; besides these there is mlp<n>x_gelu."""
CLIP: Final = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
SIGLIP: Final = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
SYSTEM: Final = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
    "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not correct. If you don't know the answer to a question, please don't share false information."
)
TOWER: Final = "model.vision_tower.vision_tower.vision_model."
PROJECTOR: Final = "model.mm_projector."
PROJECTOR_FILE: Final = "mm_projector.bin"
"""All that "Base" repositories ship."""


class VideoLLaMA2(ComposedFamily):
    """Folders of the official layout.

    The LLM's weights may lie elsewhere, where `_name_or_path` says ("Base" repositories, whose mm_projector.bin is all
    they ship), and those of the vision tower in the folder of `mm_vision_tower`.
    """

    title: ClassVar[str] = "VideoLLaMA2, 2.1"
    parts: ClassVar[str] = (
        "CLIP or SigLIP; stc_connector, stc_connector_v35, stp_connector, spatial_conv, spatial_pool, linear, "
        "mlp[n]x_gelu; Mistral, Mixtral, Qwen2"
    )
    published: ClassVar[tuple[str, ...]] = ("DAMO-NLP-SG/VideoLLaMA2-7B-16F", "DAMO-NLP-SG/VideoLLaMA2.1-7B-16F")
    licence: ClassVar[str] = "Apache-2.0, as a research preview"
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {"videollama2_mistral": PROVEN, "videollama2_qwen2": (SIZED,)}

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read config.json and the configuration of the vision tower."""
        file = folder / "config.json"
        values = read_json(file)
        tower_folder, tower = find_tower(folder, values)
        preprocessor = read_optional_json(tower_folder / "preprocessor_config.json") if tower_folder else {}
        return configure(file, values, tower, preprocessor)

    @classmethod
    def check_weights(cls, folder: Path) -> None:
        """Check that a folder holds weights, those of the connector at least."""
        if not (folder / PROJECTOR_FILE).is_file():
            super().check_weights(folder)

    @classmethod
    def elsewhere(cls, folder: Path, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        """List the LLM and the vision tower of a connector that is shipped alone, or the tower's configuration."""
        values = read_json(folder / "config.json")
        if PROJECTOR_FILE not in names:
            return tower_elsewhere(folder, values)
        base = [] if {*FILES, *INDICES} & set(names) else [str(values.get("_name_or_path"))]
        return {name: () for name in (*base, str(values.get("mm_vision_tower"))) if is_hub_id(name)}

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the weights of the folder, and where these are the connector's alone, those of the LLM and the tower."""
        cls.check_weights(folder)
        values = read_json(folder / "config.json")
        tower_folder, tower = find_tower(folder, values)
        return _sources(folder, values, tower_folder, renamer(config, tower["num_hidden_layers"]))


def configure(
    file: Path, values: dict[str, Any], tower: dict[str, Any], preprocessor: dict[str, Any] | None = None
) -> ModelConfig:
    """Translate a config.json.

    Args:
        file: that config.json, for messages.
        values: what it holds.
        tower: transformers' configuration of the vision tower.
        preprocessor: what preprocessor_config.json beside it holds, if it is there.
    Raises:
        UserError: a field is missing or has a value that is not known.
    """
    kind = "clip" if tower["model_type"].startswith("clip") else "siglip"
    if (feature := values.get("mm_vision_select_feature", "patch")) != "patch":
        raise UserError(f"{file} has mm_vision_select_feature {feature!r}; expected 'patch'.")
    llm_type = LLMS[values["model_type"]]
    llm = language_model(values, FOREIGN | {k for k in values if k.startswith(("mm_", "tune_mm_", "_"))})
    return ModelConfig(
        vision={"kind": kind, "select_layer": values.get("mm_vision_select_layer", -2), "config": tower},
        connector=connector(file, require(values, "mm_projector_type", file)),
        llm={**llm, "model_type": llm_type},
        transform=_transform(kind, tower, preprocessor or {}),
        sampling={"policy": "segment_centers", "num_frames": values.get("num_frames") or 8},
        generation={"max_new_tokens": 2048},
        prompt={} if llm_type == "qwen2" else {"system": SYSTEM, "system_format": "<<SYS>>\n{}\n<</SYS>>"},
    )


FOREIGN: Final = {"architectures", "num_frames", "auto_map", "transformers_version", "torch_dtype", "dtype"}
"""Fields of config.json that do not describe the LLM."""


def connector(file: Path, kind: str) -> dict[str, Any]:
    """Look up the connector of a `mm_projector_type`; nothing but this field tells stc_connector and its v35 apart."""
    if kind in CONNECTORS:
        return {"name": CONNECTORS[kind], "config": {}}
    if found := re.fullmatch(r"mlp(\d+)x_gelu", str(kind)):
        return {"name": "mlp2x_gelu", "config": {"depth": int(found[1])}}
    raise UserError(f"{file} has mm_projector_type {kind!r}; expected one of {', '.join(CONNECTORS)}, mlp2x_gelu.")


def renamer(config: ModelConfig, num_layers: int) -> Rename:
    """Make the translation of official names; the tower's layers after the selected one are known and not used."""
    of_tower = vit(num_layers, config.vision["select_layer"])

    def rename(name: str) -> Renamed:
        if name.startswith(TOWER):
            return of_tower(name.removeprefix(TOWER))
        if name.startswith(PROJECTOR):
            return f"connector.{name.removeprefix(PROJECTOR)}"
        return causal_lm(name)

    return rename


def _transform(kind: str, tower: dict[str, Any], preprocessor: dict[str, Any]) -> dict[str, Any]:
    defaults = CLIP if kind == "clip" else SIGLIP
    return {
        "size": tower["image_size"],
        "mode": "crop" if preprocessor.get("do_center_crop", kind == "clip") else "squash",
        "mean": tuple(preprocessor.get("image_mean", defaults["mean"])),
        "std": tuple(preprocessor.get("image_std", defaults["std"])),
        "exact": True,
    }


def _sources(folder: Path, values: dict[str, Any], tower_folder: Path | None, rename: Rename) -> list[Source]:
    files = weight_files(folder)
    sources = [Source(files=files, rename=rename)]
    projector = folder / PROJECTOR_FILE
    if not projector.is_file():
        return sources
    if not files:
        base = str(require(values, "_name_or_path", folder / "config.json"))
        sources = [Source(files=weight_files(find_folder(base, near=folder)), rename=rename)]
    if tower_folder is None:
        tower_folder = find_folder(str(values["mm_vision_tower"]))
    tower = Source(files=weight_files(tower_folder), rename=lambda name: _tower_name(name, rename))
    return [*sources, Source(files=(projector,), rename=rename), tower]


def _tower_name(name: str, rename: Rename) -> Renamed:
    """Translate the name of a tensor in a CLIP or SigLIP repository, which may hold the text model too."""
    if name.startswith(("text_model.", "text_projection.", "visual_projection.", "logit_")):
        return None
    return rename(TOWER + name.removeprefix("vision_model."))
