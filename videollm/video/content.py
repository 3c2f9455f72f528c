"""What a video is by its content, so that work on it is found again whatever its name and its date are."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Final
from urllib.parse import urlsplit

from videollm.io import is_remote
from videollm.video.decoding.container import check_file

CHANGES_WITH_CONTENT: Final = ("ETag", "Content-MD5", "Digest", "Last-Modified")
"""HTTP headers, any of which tells that a file is another one."""
PLAYLISTS: Final = (b"#EXTM3U", b"ffconcat", b"<")
"""How files begin whose frames are in other files: HLS, concat, and DASH, which is XML."""

WHOLE_BYTES: Final = 4 << 20
"""Files up to this size are hashed whole by `quick_hash`."""
NUM_BLOCKS: Final = 64
BLOCK_BYTES: Final = 64 << 10


def quick_hash(path: Path) -> str:
    """Size of a file and SHA-256 of its bytes, of a large one of 64 blocks spread from its first to its last byte.

    Costs a few reads, whatever the size. Re-encoded videos and trained weights differ in every block; a few bytes
    changed by hand in a large file can go unseen: what must not be mistaken takes `content_digest`.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    sha = hashlib.sha256()
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            sha.update(file.read())
        else:
            for i in range(NUM_BLOCKS):
                file.seek(i * (size - BLOCK_BYTES) // (NUM_BLOCKS - 1))
                sha.update(file.read(BLOCK_BYTES))
    return f"{size}-{sha.hexdigest()[:32]}"


def content_digest(video: str) -> str | None:
    """A digest that differs where the frames do: of a file's bytes and suffix, or of the images of a folder.

    Of a URL it is the address with what the store says of the file (etag, date, size), and its bytes where the store
    says nothing that changes with them.

    Returns:
        None for a playlist, whose own bytes do not decide its frames.
    Raises:
        VideoError: there is no such file, or it may not be read.
        Exception: what the file system behind a URL raises.
    """
    if is_remote(video):
        return _digest("url", video, _remote_state(video))
    path = video.removeprefix("file://")
    check_file(path)
    if Path(path).is_dir():
        from videollm.video.decoding.images import folder_images  # Pillow is loaded by those who need it

        images = folder_images(path)
        for image in images:
            check_file(str(image))
        return _digest("images", *(part for image in images for part in (image.name, _file_digest(image) or "")))
    found = _file_digest(Path(path))
    return found and _digest("file", PurePosixPath(path).suffix.lower(), found)


def _remote_state(url: str) -> str:
    import fsspec

    fs, path = fsspec.core.url_to_fs(url)
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        return str(fs.ukey(path))
    info = fs.info(path)  # its ukey takes whatever has one address for one content
    if any(name in info for name in CHANGES_WITH_CONTENT):
        return repr([info.get(name) for name in ("size", *CHANGES_WITH_CONTENT)])
    with fs.open(path, "rb") as file:
        return _read_digest(file)


def _file_digest(path: Path) -> str | None:
    found = path.stat()
    return _known_digest(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _known_digest(path: Path, *state: int) -> str | None:
    """Of a file in one state: many clips of one long video read it once."""
    with path.open("rb") as file:
        if file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(PLAYLISTS):
            return None
        file.seek(0)
        return _read_digest(file)


def _read_digest(file: IO[bytes]) -> str:
    sha = hashlib.sha256()
    while part := file.read(1 << 20):
        sha.update(part)
    return sha.hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
