"""Folders of models: embedded and local ones, and the hub's repositories, fetched once and then read from its cache."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from videollm.errors import UserError

EMBEDDED: Final = ("tiny-stc", "tiny-resampler3d")
CONFIGURATION: Final = ("*.json", "*.jinja", "*.model", "*.txt")
SAFE: Final = ("*.safetensors",)
PICKLED: Final = ("*.bin",)


def find_model(name: str, *, patterns: Sequence[str] = ()) -> Path:
    """Find the folder of a model.

    Args:
        name: an embedded model, a model folder, or a hub id (org/name, org/name@revision).
        patterns: as for `find_folder`.
    Raises:
        UserError: there is no such model.
    """
    if name in EMBEDDED:
        return Path(str(files("videollm") / "assets" / name))
    if is_local(name):
        return Path(name)
    if Path(name).exists():
        raise UserError(f"Model folder {name} has no config.json.")
    if is_hub_id(name):
        return find_folder(name, patterns=patterns)
    raise UserError(f"No model {name!r}; expected {', '.join(EMBEDDED)}, a model folder, or a hub id (org/name).")


def is_local(name: str) -> bool:
    """Tell whether a model lies on this machine, weights included."""
    return name in EMBEDDED or (Path(name) / "config.json").is_file()


def is_hub_id(name: str) -> bool:
    """Tell whether a name that is no folder could be a repository of the hub."""
    return name.count("/") == 1 and not name.startswith(("/", ".", "~"))


def find_folder(name: str, *, near: Path | None = None, patterns: Sequence[str] = ()) -> Path:
    """Find a local folder, or that of a hub id, which is fetched.

    Args:
        name: a folder, or org/name or org/name@revision.
        near: a folder that relative names may be relative to.
        patterns: files to fetch; left out, all that a model needs, pickled weights only where there are no others.
    Raises:
        UserError: there is no such folder, and the hub does not give it.
    """
    for folder in ([near / name] if near is not None else []) + [Path(name)]:
        if folder.is_dir():
            return folder
    if not is_hub_id(name):
        raise UserError(f"No folder {name!r}; expected a model folder, or a hub id (org/name, org/name@revision).")
    if patterns:
        return _fetch(name, patterns)
    found = _fetch(name, [*CONFIGURATION, *SAFE])
    return found if any(found.glob("*.safetensors")) else _fetch(name, [*CONFIGURATION, *PICKLED])


def _fetch(name: str, patterns: Sequence[str]) -> Path:
    """Download what is not in the cache yet, with progress; a stopped download goes on. Offline, the cache alone."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"Model {name!r} is no folder here, and the hub did not give it: {reason}") from error
