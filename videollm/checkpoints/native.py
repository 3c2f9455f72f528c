"""The product's own model folder: config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from connectors import CONNECTORS
from videollm.checkpoints.family import ComposedFamily
from videollm.checkpoints.folder import Source, read_json, weight_files
from videollm.checkpoints.options import Options
from videollm.errors import UserError
from videollm.models.config import ModelConfig
from videollm.video.preprocessing import PREPROCESSINGS
from videollm.video.sampling import POLICIES
from videollm.vision import TOWERS


class Native(ComposedFamily):
    """What `VideoLLM.save` writes."""

    title: ClassVar[str] = "What training writes, and the embedded models"
    parts: ClassVar[str] = "any tower; any connector; any LLM of transformers"
    licence: ClassVar[str] = "Apache-2.0 (the embedded models)"

    @classmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read config.json. Code that a folder names is not imported unless the user named it too."""
        config = _read(folder / "config.json")
        if options.connector is None and (saved := config.connector["name"]) not in CONNECTORS:
            raise UserError(
                f"Model {folder} was saved with connector {saved!r}, which is not one of {', '.join(CONNECTORS)}. "
                f"Give --connector {saved} to import it (this runs its code)."
            )
        named = (
            (TOWERS, config.vision["kind"]),
            (POLICIES, config.sampling.get("policy")),
            (PREPROCESSINGS, config.transform.get("kind")),
        )
        for table, name in named:
            if name is not None and name not in table:
                raise UserError(
                    f"Model {folder} was saved with {table.noun} {name!r}, which is not one of {', '.join(table)}. "
                    f"Install a package that names it in its entry points ({table.group})."
                )
        return config

    @classmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the folder's weights, whose names are those of the model."""
        cls.check_weights(folder)
        return [Source(files=weight_files(folder), rename=str)]


def _read(file: Path) -> ModelConfig:
    values: dict[str, Any] = read_json(file)
    known = {f.name for f in fields(ModelConfig)}
    needed = {"vision": "kind", "connector": "name", "llm": "model_type", "transform": None, "sampling": None}
    if unknown := values.keys() - known:
        raise UserError(f"{file} has unknown fields {sorted(unknown)}; expected {sorted(known)}.")
    if missing := needed.keys() - values.keys():
        raise UserError(f"{file} lacks {sorted(missing)}.")
    for name, key in needed.items():
        if not isinstance(values[name], dict) or (key is not None and key not in values[name]):
            raise UserError(f"{file} has {name} {values[name]!r}; expected a table{f' with {key}' if key else ''}.")
    return ModelConfig(**values)
