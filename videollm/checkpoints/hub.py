"""Folders of models: local ones, and repositories of the hub, fetched once and then read from its cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

CONFIGURATION: Final = ("*.json", "*.jinja", "*.model", "*.txt")
SAFE: Final = ("*.safetensors",)
PICKLED: Final = ("*.bin",)


def find_folder(name: str, *, near: Path | None = None, patterns: Sequence[str] = ()) -> Path:
    """A local folder, or that of a hub id, which is fetched.

    Args:
        name: a folder, or org/name or org/name@revision.
        near: a folder that relative names may be relative to.
        patterns: files to fetch; left out, all that a model needs, pickled weights only where there are no others.
    Raises:
        ValueError: there is no such folder, and the hub does not give it.
    """
    for folder in ([near / name] if near is not None else []) + [Path(name)]:
        if folder.is_dir():
            return folder
    if name.count("/") != 1 or name.startswith(("/", ".", "~")):
        raise ValueError(f"No folder {name!r}; expected a model folder, or a hub id (org/name, org/name@revision).")
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
        raise ValueError(f"Model {name!r} is no folder here, and the hub did not give it: {reason}") from error
