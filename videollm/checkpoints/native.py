"""The product's own model folder: config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from connectors import CONNECTORS
from videollm.checkpoints.assemble import Options, assemble, read_json, tied_names
from videollm.checkpoints.weights import Source, weight_files
from videollm.models.composed import ModelConfig, VideoLLM

WEIGHTS = "model.safetensors"


def save(model: VideoLLM, folder: str | Path) -> None:
    """Write a model folder; weights replace older ones in one step."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(model.config), indent=2) + "\n")
    model.tokenizer.save_pretrained(folder)
    scratch = folder / f"{WEIGHTS}.partial"
    tied = tied_names(model)
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if k not in tied}, scratch, {"format": "pt"})
    scratch.chmod(0o644)  # safetensors writes files that only their owner can read
    scratch.replace(folder / WEIGHTS)


def load(folder: Path, options: Options) -> VideoLLM:
    """Read a model folder.

    Args:
        folder: what `save` wrote.
        options: how to load it.
    Raises:
        ValueError: a file is missing or damaged, or weights and configuration do not fit.
    """
    config = _config(folder)
    if options.connector is None and (saved := config.connector["name"]) not in CONNECTORS.names():
        raise ValueError(
            f"Model {folder} was saved with connector {saved!r}, which is not one of {', '.join(CONNECTORS)}. "
            f"Give --connector {saved} to import it (this runs its code)."
        )
    files = weight_files(folder)
    if not files:
        raise ValueError(f"{folder / WEIGHTS} is missing. Fetch or save the model folder again.")
    return assemble(folder, config, [Source(files=files, rename=str)], options)


def _config(folder: Path) -> ModelConfig:
    file = folder / "config.json"
    values: dict[str, Any] = read_json(file)
    known = {f.name for f in fields(ModelConfig)}
    needed = {"vision", "connector", "llm", "transform", "sampling"}
    if unknown := values.keys() - known:
        raise ValueError(f"{file} has unknown fields {sorted(unknown)}; expected {sorted(known)}.")
    if missing := needed - values.keys():
        raise ValueError(f"{file} lacks {sorted(missing)}.")
    return ModelConfig(**values)
