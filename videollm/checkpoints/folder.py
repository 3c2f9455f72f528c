"""Files of a model folder, read without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from videollm.errors import UserError

Renamed = str | tuple[str, ...] | None
"""A tensor's name in the model; several where its rows are those of several tensors in that order (a fused projection);
None for what a model of this kind is known not to use."""
Rename = Callable[[str], Renamed]
"""Name in a file -> name in the model."""
FILES: Final = ("model.safetensors", "pytorch_model.bin")
"""Weights of a folder, the first that is there; an index beside it names shards."""
INDICES: Final = tuple(f"{name}.index.json" for name in FILES)
"""Names of the indices."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of weights, or several, whose names follow one rule."""

    files: tuple[Path, ...]
    rename: Rename
    arrange: Callable[[str, Any], Any] | None = None
    """Puts the rows of a tensor, given with its name in the file, into the order of its names in the model; it can be
    pickled."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Find the files with a folder's weights; none where it holds no weights.

    Raises:
        UserError: the index of the shards is damaged, or a shard is missing.
    """
    for name, of_shards in zip(FILES, INDICES, strict=True):
        index = folder / of_shards
        if index.is_file():
            try:
                shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise UserError(f"{index} is damaged ({error!r}). Fetch it again.") from error
            if missing := [s for s in shards if not (folder / s).is_file()]:
                names = ", ".join(missing)
                raise UserError(f"{folder} lacks {names}, which {index.name} lists. Fetch the folder again.")
            return tuple(folder / s for s in shards)
        if (folder / name).is_file():
            return (folder / name,)
    return ()


def read_json(file: Path) -> dict[str, Any]:
    """Read the table of a JSON file.

    Raises:
        UserError: the file is missing, or not a table.
    """
    try:
        values = json.loads(file.read_text())
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}). Fetch the model folder again.") from error
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}. Fetch it again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} holds {type(values).__name__}, expected a table. Fetch it again.")
    return values


def read_optional_json(file: Path) -> dict[str, Any]:
    """Read the table of a JSON file; an empty one where there is no such file.

    Raises:
        UserError: the file is not a table.
    """
    return read_json(file) if file.is_file() else {}


def require(values: dict[str, Any], name: str, file: Path) -> Any:
    """Look up a field that a configuration must have.

    Raises:
        UserError: the field is missing.
    """
    if name not in values:
        raise UserError(f"{file} has no {name}, which says what to build. Use the checkpoint's own config.json.")
    return values[name]
