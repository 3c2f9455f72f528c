"""Model folders of our own layout: config.json, weights and the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from videollm.errors import UserError
from videollm.models.config import ModelConfig

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"


def save(folder: Path, config: ModelConfig, weights: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a model folder; weights replace older ones in one step.

    Raises:
        UserError: the folder cannot be written.
    """
    scratch = folder / f"{WEIGHTS}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(asdict(config), indent=2) + "\n")
        tokenizer.save_pretrained(folder)
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, scratch, {"format": "pt"})
        scratch.chmod(0o644)  # safetensors writes files that only their owner can read
        scratch.replace(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"The model cannot be written into {folder}: {error}. Make room, or give another one."
        ) from error
