"""The product's own model folder: config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from connectors import CONNECTORS, connector_names
from videollm.model import ModelConfig, VideoLLM

WEIGHTS = "model.safetensors"


def save(model: VideoLLM, folder: str | Path) -> None:
    """Write a model folder; weights replace older ones in one step."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(model.config), indent=2) + "\n")
    model.tokenizer.save_pretrained(folder)
    scratch = folder / f"{WEIGHTS}.partial"
    save_file({k: v.contiguous() for k, v in _stored(model).items()}, scratch, {"format": "pt"})
    scratch.chmod(0o644)  # safetensors writes files that only their owner can read
    scratch.replace(folder / WEIGHTS)


def _stored(model: VideoLLM) -> dict[str, torch.Tensor]:
    """State dict without tensors that are tied to another one."""
    tied = {f"llm.{k}" for k in getattr(model.llm, "all_tied_weights_keys", {}) or {}}
    return {k: v for k, v in model.state_dict().items() if k not in tied}


def load(
    folder: Path, name: str, *, connector: str | None, connector_config: dict[str, Any], device: str, dtype: torch.dtype
) -> VideoLLM:
    """Read a model folder.

    Args:
        folder: what `save` wrote.
        name: how answers name the model.
        connector: build this one, with new weights, instead of the saved one.
        connector_config: its settings.
        device: where the weights go.
        dtype: their type.
    Raises:
        ValueError: a file is missing or damaged, or weights and configuration do not fit.
    """
    config = _config(folder)
    if connector is not None:
        config = ModelConfig(**{**asdict(config), "connector": {"name": connector, "config": connector_config}})
    elif (saved := config.connector["name"]) not in connector_names():
        raise ValueError(
            f"Model {folder} was saved with connector {saved!r}, which is not one of {', '.join(CONNECTORS)}. "
            f"Give --connector {saved} to import it (this runs its code)."
        )
    weights = _weights(folder / WEIGHTS)
    model = VideoLLM(config, PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True), name)
    wanted = _stored(model)
    own_connector = connector is None or connector == _config(folder).connector["name"]
    if not own_connector:
        weights = {k: v for k, v in weights.items() if not k.startswith("connector.")}
        wanted = {k: v for k, v in wanted.items() if not k.startswith("connector.")}
    problems = [f"missing {k}" for k in wanted.keys() - weights.keys()]
    problems += [f"unexpected {k}" for k in weights.keys() - wanted.keys()]
    problems += [
        f"{k} has shape {tuple(weights[k].shape)}, expected {tuple(wanted[k].shape)}"
        for k in wanted.keys() & weights.keys()
        if weights[k].shape != wanted[k].shape
    ]
    if problems:
        listed = "; ".join(sorted(problems)[:20])
        raise ValueError(
            f"Weights in {folder / WEIGHTS} do not fit config.json: {listed}. Fetch or save the folder again."
        )
    model.load_state_dict(weights, strict=False)
    return model.to(device, dtype).eval()


def _config(folder: Path) -> ModelConfig:
    values = json.loads((folder / "config.json").read_text())
    known = {f.name for f in fields(ModelConfig)}
    needed = {"vision", "connector", "llm", "transform", "sampling"}
    if unknown := values.keys() - known:
        raise ValueError(f"{folder / 'config.json'} has unknown fields {sorted(unknown)}; expected {sorted(known)}.")
    if missing := needed - values.keys():
        raise ValueError(f"{folder / 'config.json'} lacks {sorted(missing)}.")
    return ModelConfig(**values)


def _weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing. Fetch or save the model folder again.") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or incomplete ({error}). Fetch or save it again.") from error
