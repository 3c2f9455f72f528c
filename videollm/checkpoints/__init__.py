"""Models by name: embedded ones, folders and hub ids, each loaded by the family that its config names."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch

from videollm.checkpoints import native
from videollm.model import VideoLLM

EMBEDDED: Final = ("tiny-stc", "tiny-resampler3d")
FAMILIES: Final = {"videollm": native.load}
"""`model_type` of config.json -> how to load the folder."""


def load(
    name: str | Path = "tiny-stc",
    *,
    connector: str | None = None,
    connector_config: dict[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> VideoLLM:
    """Load a model.

    Args:
        name: an embedded model (tiny-stc, tiny-resampler3d), a model folder, or a hub id (org/name).
        connector: a name, an entry point or pkg.mod:Class to put, untrained, in the place of the model's own.
        connector_config: settings of that connector.
        device: auto is cuda where there is one, else cpu.
        dtype: auto is bfloat16 on cuda and float32 on cpu; or a torch dtype's name.
    Raises:
        ValueError: no such model, or one that cannot be loaded; the message says why.
    """
    folder = _folder(str(name))
    kind = _model_type(folder)
    if kind not in FAMILIES:
        raise ValueError(f"{folder / 'config.json'} has model_type {kind!r}; expected one of {', '.join(FAMILIES)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    kept = getattr(torch, dtype, None)
    if not isinstance(kept, torch.dtype) or not kept.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}; expected float32, bfloat16 or float16.")
    return FAMILIES[kind](
        folder, str(name), connector=connector, connector_config=connector_config or {}, device=device, dtype=kept
    )


def _folder(name: str) -> Path:
    if name in EMBEDDED:
        return Path(str(files("videollm") / "models" / name))
    if (Path(name) / "config.json").is_file():
        return Path(name)
    if Path(name).exists():
        raise ValueError(f"Model folder {name} has no config.json.")
    if name.count("/") == 1 and not name.startswith(("/", ".", "~")):
        return _download(name)
    raise ValueError(f"No model {name!r}; expected {', '.join(EMBEDDED)}, a model folder, or a hub id (org/name).")


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"Model {name!r} is no folder here, and the hub did not give it: {reason}") from error


def _model_type(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / 'config.json'} is not JSON: {error}.") from error
    return str(config.get("model_type")) if isinstance(config, dict) else "none"
