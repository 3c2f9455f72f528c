"""Models by name: embedded ones, folders and hub ids, each loaded by the family that its config names."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch

from videollm.checkpoints import minicpmv, native, videollama2
from videollm.checkpoints.assemble import ENGINES, Options, read_json
from videollm.checkpoints.hub import find_folder
from videollm.engines.vllm import check_installed
from videollm.models.composed import VideoLLM

EMBEDDED: Final = ("tiny-stc", "tiny-resampler3d")
FAMILIES: Final[dict[str, Callable[[Path, Options], VideoLLM]]] = {
    "videollm": native.load,
    "videollama2_mistral": videollama2.load,
    "videollama2_mixtral": videollama2.load,
    "videollama2_qwen2": videollama2.load,
    "minicpmv": minicpmv.load,
}
"""`model_type` of config.json -> how to load the folder."""


def load(
    name: str | Path = "tiny-stc",
    *,
    connector: str | None = None,
    connector_config: dict[str, Any] | None = None,
    connector_weights: str | Path | None = None,
    thinking: bool = False,
    engine: str = "builtin",
    device: str = "auto",
    dtype: str = "auto",
) -> VideoLLM:
    """Load a model.

    Args:
        name: an embedded model (tiny-stc, tiny-resampler3d), a model folder, or a hub id (org/name, org/name@revision).
        connector: a name, an entry point or pkg.mod:Class to put in the place of the model's own.
        connector_config: settings of that connector.
        connector_weights: its weights, a file or a model folder; without them it is untrained.
        thinking: let the LLM think before it answers, where it can.
        engine: what runs the LLM: builtin, or vllm (see docs/generation.md; such a model can answer, not be trained).
        device: auto is cuda where there is one, else cpu.
        dtype: auto is bfloat16 on cuda and float32 on cpu; config is what config.json says; or a torch dtype's name.
    Raises:
        ValueError: no such model, or one that cannot be loaded; the message says why.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; expected {' or '.join(ENGINES)}.")
    if engine == "vllm":
        check_installed()
    folder = _folder(str(name))
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise ValueError(f"{folder / 'config.json'} has model_type {kind!r}; expected one of {', '.join(FAMILIES)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    if dtype == "config":
        dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    kept = getattr(torch, dtype, None)
    if not isinstance(kept, torch.dtype) or not kept.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}; expected float32, bfloat16, float16 or config.")
    options = Options(
        name=str(name),
        device=device,
        dtype=kept,
        connector=connector,
        connector_config=connector_config or {},
        connector_weights=None if connector_weights is None else Path(connector_weights),
        thinking=thinking,
        engine=engine,
    )
    model = FAMILIES[kind](folder, options)
    model.revision = folder.name if folder.parent.name == "snapshots" else None  # as the hub's cache lays them out
    return model


def _folder(name: str) -> Path:
    if name in EMBEDDED:
        return Path(str(files("videollm") / "assets" / name))
    if (Path(name) / "config.json").is_file():
        return Path(name)
    if Path(name).exists():
        raise ValueError(f"Model folder {name} has no config.json.")
    if name.count("/") == 1 and not name.startswith(("/", ".", "~")):
        return find_folder(name)
    raise ValueError(f"No model {name!r}; expected {', '.join(EMBEDDED)}, a model folder, or a hub id (org/name).")
