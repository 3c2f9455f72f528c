"""Folders of models: embedded and local ones, and the hub's repositories, fetched once and then read from its cache."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from videollm.errors import UserError

EMBEDDED: Final = ("tiny-stc", "tiny-resampler3d")
CONFIGURATION: Final = ("*.json", "*.jinja", "*.model", "*.txt")
SAFE: Final = ("*.safetensors",)
PICKLED: Final = ("*.bin",)
Kind = Literal["model", "dataset"]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What the hub says of a repository at one commit."""

    commit: str
    sizes: Mapping[str, int]
    """Path of a file -> bytes."""
    cached: frozenset[str]
    """Files that are in the cache already."""
    gated: bool
    """Whether its conditions must be accepted before it is given."""


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
    with _told(f"Model {name!r} is no folder here, and the hub did not give it"):
        if patterns:
            return _snapshot(name, patterns)
        found = _snapshot(name, [*CONFIGURATION, *SAFE])
        safe = any(found.rglob("*.safetensors"))
        return found if safe else _snapshot(name, [*CONFIGURATION, *PICKLED])


def model_patterns(names: Collection[str]) -> tuple[str, ...]:
    """Choose what loading a model reads of a repository with these files: as `find_folder` without patterns."""
    safe = any(fnmatch(name, pattern) for name in names for pattern in SAFE)
    return (*CONFIGURATION, *(SAFE if safe else PICKLED))


def look_up(name: str, kind: Kind = "model") -> Repository:
    """Ask the hub what a repository holds; nothing is fetched.

    Args:
        name: org/name or org/name@revision.
        kind: whether it is a model or a dataset.
    Raises:
        UserError: the hub cannot be reached, or does not tell.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    id, _, revision = name.partition("@")
    with _told(f"The hub does not give {kind} {name!r}"):
        found = HfApi().repo_info(id, revision=revision or None, repo_type=kind, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in getattr(found, "siblings", None) or []}
        here = {n: try_to_load_from_cache(id, n, revision=found.sha, repo_type=kind) for n in sizes}
    return Repository(
        commit=str(found.sha),
        sizes=sizes,
        cached=frozenset(n for n, path in here.items() if isinstance(path, str)),
        gated=bool(getattr(found, "gated", False)),
    )


def fetch(name: str, patterns: Sequence[str], *, kind: Kind = "model", into: Path | None = None) -> Path:
    """Fetch the files of a repository that are not here yet, with progress.

    Args:
        name: org/name or org/name@revision.
        patterns: which files.
        kind: whether it is a model or a dataset.
        into: folder to put the files into; by default the hub's cache.
    Raises:
        UserError: the hub cannot be reached, or does not give it; the connection breaks for good.
    """
    with _told(f"The hub does not give {kind} {name!r}"):
        return _snapshot(name, patterns, kind, into)


def _snapshot(name: str, patterns: Sequence[str], kind: Kind = "model", into: Path | None = None) -> Path:
    """Download what is not here yet. Offline, the cache alone."""
    from huggingface_hub import snapshot_download

    id, _, revision = name.partition("@")
    return Path(
        snapshot_download(id, revision=revision or None, repo_type=kind, allow_patterns=list(patterns), local_dir=into)
    )


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what the hub's client raises into one message that says why, and what to do."""
    from huggingface_hub import errors

    broken: Any = errors.HfHubHTTPError.__mro__[1]  # of whichever HTTP library the client uses
    try:
        yield
    except errors.GatedRepoError as error:
        reason = "it is gated; accept its conditions on huggingface.co, then log in (`hf auth login`, or HF_TOKEN)"
        raise UserError(f"{what}: {reason}.") from error
    except errors.RepositoryNotFoundError as error:
        reason = "there is no such repository, or it is private and needs a login (`hf auth login`, or HF_TOKEN)"
        raise UserError(f"{what}: {reason}.") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{what}: it has no such revision. Give a branch, a tag or a commit of it.") from error
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{what}: {_first_line(error)}") from error
    except broken as error:
        again = "Run the same command again: what came is kept"
        raise UserError(f"{what}: the connection failed, {_first_line(error)}. {again}.") from error


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
