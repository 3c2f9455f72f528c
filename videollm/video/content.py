"""Digests of videos by content, so that finished work is found again whatever name and date a video has."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from videollm.io import check_file, is_remote, local_name, open_file, remote_version, whole_hash

PLAYLISTS: Final = (b"#EXTM3U", b"ffconcat", b"<")
"""How files begin whose frames are in other files: HLS, concat, and DASH, which is XML."""


def content_digest(video: str) -> str | None:
    """Return a digest that differs where the frames differ: of a file's bytes and suffix, or of a folder's images.

    Of a URL it is the address with what the store says of the file (etag, date, size), and its bytes where the store
    says nothing that changes with them.

    Returns:
        None for a playlist, whose own bytes do not decide its frames.
    Raises:
        VideoError: there is no such file, it may not be read, or it cannot be fetched.
    """
    if is_remote(video):
        version = remote_version(video)
        if version is None:
            with open_file(video) as file:
                version = whole_hash(file)
        return _digest("url", video, version)
    path = local_name(video)
    check_file(path)
    if Path(path).is_dir():
        from videollm.video.decoding.images import folder_images  # Pillow is loaded by those who need it

        images = folder_images(path)
        for image in images:
            check_file(str(image))
        return _digest("images", *(part for image in images for part in (image.name, _file_digest(image) or "")))
    found = _file_digest(Path(path))
    return found and _digest("file", PurePosixPath(path).suffix.lower(), found)


def _file_digest(path: Path) -> str | None:
    found = path.stat()
    return _known_digest(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _known_digest(path: Path, *state: int) -> str | None:
    """Hash a file in one state: many clips of one long video read it once."""
    with path.open("rb") as file:
        if file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(PLAYLISTS):
            return None
        file.seek(0)
        return whole_hash(file)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
