"""Discovery of videos and manifests, here or behind a URL."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from videollm.errors import UserError, VideoError
from videollm.io import check_scheme, has_folders, is_remote, list_files, local_name, suffix

VIDEOS: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".flv", ".3gp"}
    | {".ogv", ".vob", ".mxf", ".y4m", ".gif"}
)
IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MANIFESTS: Final = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A video or a manifest among the inputs."""

    path: str
    """Absolute path, or URL."""
    shown: str
    """As the user wrote it."""
    is_manifest: bool = False


def find(inputs: Sequence[str]) -> Iterator[Source]:
    """Find videos and manifests among the inputs, each once, in a fixed order; folders and globs are searched.

    Raises:
        UserError: nothing is found, or an input may not be read.
    """
    seen: set[str] = set()
    for given in inputs:
        for path in _remote(given) if is_remote(given) else _local(given):
            whole = absolute(path)
            if whole not in seen:
                seen.add(whole)
                yield Source(path=whole, shown=path, is_manifest=suffix(path) in MANIFESTS)


def absolute(path: str) -> str:
    """Make a local path absolute, links kept; return a URL as it is."""
    return path if is_remote(path) else str(Path.cwd() / Path(local_name(path)).expanduser())


def _local(given: str) -> Iterator[str]:
    path = Path(local_name(given)).expanduser()
    try:
        if path.is_dir():
            yield from _folder(path)
        elif os.path.lexists(path):
            yield str(path)
        elif glob.has_magic(given):
            matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (absolute patterns)
            if not matches:
                raise UserError(f"No file matches {given!r}. Check the pattern.")
            for match in matches:
                yield from _folder(Path(match), required=False) if Path(match).is_dir() else [match]
        else:
            raise UserError(f"{given!r} does not exist. Give a folder, a video, a glob, a URL or a manifest.")
    except OSError as error:
        raise UserError(f"{given!r} cannot be read: {error.strerror}.") from error


def _folder(folder: Path, *, required: bool = True) -> Iterator[str]:
    """Find the videos below a folder; a folder of images alone is one clip."""
    empty, visited = True, set()
    for at, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(at)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if real not in visited else []
        files = sorted(files) if real not in visited else []
        visited.add(real)
        for name in files:
            if suffix(name) in VIDEOS and not name.startswith("."):
                empty = False
                yield str(Path(at) / name)
    if empty and any(suffix(f.name) in IMAGES for f in folder.iterdir()):
        yield str(folder)
    elif empty and required:
        raise UserError(
            f"{str(folder)!r} holds no videos ({' '.join(sorted(VIDEOS))}) and no images. "
            "Name files of other extensions one by one, by a glob, or in a manifest."
        )


def _raise(error: OSError) -> None:
    raise UserError(f"{error.filename!r} cannot be read: {error.strerror}.")


def _remote(url: str) -> Iterator[str]:
    """Find the file of a URL, or all videos below the URL where the store knows folders."""
    is_file = suffix(url) in VIDEOS or suffix(url) in MANIFESTS
    try:
        check_scheme(url)
        if not has_folders(url) or (is_file and not glob.has_magic(url)):
            yield url
            return
        videos = [found for found in list_files(url) if suffix(found) in VIDEOS]
    except VideoError as error:
        raise UserError(str(error)) from error
    if not videos:
        raise UserError(f"{url!r} holds no videos ({' '.join(sorted(VIDEOS))}).")
    yield from videos
