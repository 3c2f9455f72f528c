"""Files wherever they lie: paths of this machine and URLs. No other module knows a scheme.

Paths are strings, as users write them: `clips/a.mp4`, `file:///clips/a.mp4`, `s3://bucket/a.mp4`. URLs are read through
fsspec, which is imported when the first one is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final
from urllib.parse import urlsplit

from videollm.errors import Status, VideoError, VideollmError

SCHEMES: Final[dict[str, str | None]] = {
    "file": None,
    "memory": None,
    "http": None,
    "https": None,
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "hf": "hf",
}
"""Scheme -> extra of this package that reads it; None where none is needed. Others that fsspec knows work as well."""
ALIASES: Final = {"s3a": "s3", "gcs": "gs", "abfss": "abfs"}
"""Names of one store under which fsspec may not know it."""
WEB: Final = frozenset({"http", "https"})
"""Schemes of servers that know no folders, and whose addresses may end in a query."""
CHANGES_WITH_CONTENT: Final = ("ETag", "Content-MD5", "Digest", "Last-Modified")
"""HTTP headers, any of which tells that a file is another one."""

WHOLE_BYTES: Final = 4 << 20
"""Files up to this size are hashed whole by `quick_hash`."""
NUM_BLOCKS: Final = 64
BLOCK_BYTES: Final = 64 << 10
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_MAGIC: Final = re.compile(r"[*?\[]")


def is_remote(path: str) -> bool:
    """Tell whether a path is a URL that must be fetched, of a scheme that is known or not."""
    return _scheme(path) not in ("", "file")


def has_folders(url: str) -> bool:
    """Tell whether the files below a URL can be listed."""
    return _scheme(url) not in WEB


def local_name(path: str) -> str:
    """Turn `file://` URLs into paths; leave others as they are."""
    return path[len("file://") :] if _scheme(path) == "file" else path


def suffix(path: str) -> str:
    """Return the extension of a path or URL, in lower case."""
    return PurePosixPath(urlsplit(path).path if _scheme(path) in WEB else path).suffix.lower()


def check_scheme(path: str) -> None:
    """Check that a path is of this machine, or a URL that some file system reads, installed or not.

    Raises:
        VideoError: `bad_request`; the message names the schemes that are known.
    """
    if (scheme := _scheme(path)) in SCHEMES or not scheme:
        return
    from fsspec import available_protocols

    if scheme not in available_protocols():
        extras = ", ".join(dict.fromkeys(filter(None, SCHEMES.values())))
        raise VideoError(
            Status.BAD_REQUEST,
            f"{path}: the scheme {scheme}:// is not known; expected one of {', '.join(SCHEMES)}, or a path of this "
            f"machine. Stores need an extra, pip install 'videollm[EXTRA]', one of {extras}.",
        )


def check_file(path: str) -> None:
    """Check that a local path can be a video or a folder of images, before a decoder meets it.

    Raises:
        VideoError: `not_found`, `permission_denied`, or `no_video` for an empty file, a pipe or a device.
    """
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(Status.NOT_FOUND, f"{path}: there is no such file; check the path.") from None
    except PermissionError:
        raise VideoError(Status.PERMISSION_DENIED, f"{path}: permission denied; make its folder readable.") from None
    except (OSError, ValueError) as error:
        shown = path if len(path) <= 200 else f"{path[:200]}..."
        why = getattr(error, "strerror", error)
        raise VideoError(Status.NOT_FOUND, f"{shown}: not a usable path ({why}); check it.") from None
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(Status.NO_VIDEO, f"{path}: not a regular file; expected a video file or a folder of images.")
    if not os.access(path, os.R_OK):
        raise VideoError(Status.PERMISSION_DENIED, f"{path}: permission denied; make it readable.")
    if status.st_size == 0:
        raise VideoError(Status.NO_VIDEO, f"{path}: the file is empty (0 bytes); expected a video.")


@contextmanager
def open_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, here or behind a URL.

    Raises:
        OSError: a local file cannot be read.
        VideoError: a URL cannot be opened, or fails while the file is read (`bad_request`, `fetch_error`, `not_found`,
            `permission_denied`, `missing_dependency`).
    """
    if not is_remote(path):
        with Path(local_name(path)).open("rb") as file:
            yield file
        return
    with _store(path) as (fs, name), fs.open(name, "rb") as file:
        yield file


def list_files(url: str) -> list[str]:
    """List the files below a URL, or those that match its pattern (`*`, `?`, `[...]`), sorted.

    Returns:
        URLs that begin as the one given does.
    Raises:
        VideoError: as `open_file`.
    """
    magic = _MAGIC.search(url)
    folder = url.rstrip("/") + "/" if magic is None else url[: url.rindex("/", 0, magic.start()) + 1]
    with _store(url) as (fs, name):
        found = fs.find(name) if magic is None else fs.glob(name)
        start = len(str(fs._strip_protocol(_address(folder))).rstrip("/"))
        return sorted(folder + file[start:].lstrip("/") for file in found)


@contextmanager
def local_path(path: str) -> Iterator[str]:
    """Bring a file to this machine, and yield a path that holds for as long as the context lasts.

    Raises:
        VideoError: as `open_file`; also for an OSError or a MemoryError inside the block: a file that vanishes, a disk
            that fails or is full, frames that do not fit.
    """
    try:
        if not is_remote(path):
            yield local_name(path)
            return
        with tempfile.TemporaryDirectory(prefix="videollm-") as folder:
            fetched = Path(folder) / f"video{suffix(path)[:16]}"
            with open_file(path) as remote, fetched.open("wb") as local:
                shutil.copyfileobj(remote, local, 1 << 20)
            yield str(fetched)
    except OSError as error:
        status = Status.FETCH_ERROR if is_remote(path) else Status.DECODE_ERROR
        message = f"{path}: reading stopped ({error.strerror or error}); check the file and this machine."
        raise VideoError(status, message) from error
    except MemoryError as error:
        message = f"{path}: its frames do not fit in memory; ask for fewer frames, or for smaller ones."
        raise VideoError(Status.DECODE_ERROR, message) from error


def remote_version(url: str) -> str | None:
    """Return what the store says of a file that changes with its content (etag, date, size); None if nothing does.

    Raises:
        VideoError: as `open_file`.
    """
    with _store(url) as (fs, name):
        if has_folders(url):
            return str(fs.ukey(name))
        info = fs.info(name)  # the ukey of a web server takes whatever has one address for one content
        told = [info.get(header) for header in ("size", *CHANGES_WITH_CONTENT)]
        return repr(told) if any(told[1:]) else None


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Replace a local file in one step: yield a path beside the file to write to, and rename that path at the end.

    Whoever reads `path` sees the old file or the whole new one, also after a crash; if the block raises, the old one.

    Raises:
        OSError: the file cannot be written.
    """
    scratch = path.with_name(f"{path.name}.partial")
    try:
        yield scratch
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def quick_hash(path: Path) -> str:
    """Return the size of a file and the SHA-256 of its bytes, of a large one of 64 blocks from its first to its last.

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


def whole_hash(file: IO[bytes]) -> str:
    """Return the SHA-256 of all bytes of an open file, from the read position on."""
    sha = hashlib.sha256()
    while part := file.read(1 << 20):
        sha.update(part)
    return sha.hexdigest()


def _scheme(path: str) -> str:
    """Return the scheme of a URL in lower case; "" of a path."""
    found = _URL.match(path)
    return found[1].lower() if found else ""


def _address(url: str) -> str:
    """Spell a URL as fsspec spells the store's URLs."""
    scheme = _scheme(url)
    return ALIASES.get(scheme, scheme) + url[len(scheme) :]


@contextmanager
def _store(url: str) -> Iterator[tuple[Any, str]]:
    """Yield the file system of a URL and the name of the file there; explain errors inside the block."""
    try:
        check_scheme(url)
        from fsspec.core import url_to_fs

        yield url_to_fs(_address(url))
    except VideollmError:
        raise
    except ImportError as error:
        extra = SCHEMES.get(_scheme(url))
        hint = f"pip install 'videollm[{extra}]'" if extra else "install it"
        message = f"{url}: a package it needs is missing ({error}); {hint}."
        raise VideoError(Status.MISSING_DEPENDENCY, message) from error
    except FileNotFoundError as error:
        if error.__cause__ is not None and not hasattr(error.__cause__, "status"):  # the server was not reached at all
            raise VideoError(
                Status.FETCH_ERROR, f"{url}: could not be fetched ({error.__cause__}); try again."
            ) from error
        message = f"{url}: there is no such file on the server; check the address."
        raise VideoError(Status.NOT_FOUND, message) from error
    except PermissionError as error:
        message = f"{url}: the server denies access; check the credentials."
        raise VideoError(Status.PERMISSION_DENIED, message) from error
    except Exception as error:  # every file system behind fsspec raises its own kinds
        message = f"{url}: could not be fetched ({type(error).__name__}: {error}); check the address and try again."
        raise VideoError(Status.FETCH_ERROR, message) from error
