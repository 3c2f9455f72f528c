"""Vision towers that a checkpoint names by a folder or a hub id, as descendants of LLaVA do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from videollm.checkpoints.folder import read_json, require
from videollm.checkpoints.hub import find_folder, is_hub_id
from videollm.errors import UserError

TOWERS: Final = {
    "openai/clip-vit-large-patch14-336": {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
        "projection_dim": 768,
    },
    "google/siglip-so400m-patch14-384": {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    },
}
"""Vision towers of the published checkpoints, so that these need no file of another repository."""
CONFIGURATION: Final = ("config.json", "preprocessor_config.json")


def find_tower(folder: Path, values: dict[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """Find the folder (if it needs one) and the transformers configuration of `mm_vision_tower`."""
    named = str(require(values, "mm_vision_tower", folder / "config.json"))
    inside = folder / named
    if not inside.is_dir() and not Path(named).is_dir() and named in TOWERS:
        return None, dict(TOWERS[named])
    found = inside if inside.is_dir() else find_folder(named, patterns=CONFIGURATION)
    config = read_json(found / "config.json")
    if "vision_config" in config:  # the repository of a model of text and images
        config = {**config["vision_config"], "model_type": config.get("model_type")}
    if not str(config.get("model_type")).startswith(("clip", "siglip")):
        got = config.get("model_type")
        raise UserError(f"{found / 'config.json'} has model_type {got!r}; expected a CLIP or SigLIP vision tower.")
    return found, config


def tower_elsewhere(folder: Path, values: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Name the repository of the hub that `find_tower` reads, with the files; nothing where it reads none."""
    named = str(require(values, "mm_vision_tower", folder / "config.json"))
    return {} if named in TOWERS or not is_hub_id(named) else {named: CONFIGURATION}
