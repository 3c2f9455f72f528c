"""Where a video lies: a local path as it is, a remote one fetched to a temporary file that does not outlive its use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from videollm.errors import VideoError

REMOTE_SCHEMES = frozenset({"s3", "gs", "gcs", "http", "https"})


def is_remote(video: str) -> bool:
    """Whether a video's name is a URL this package fetches."""
    scheme, separator, _ = video.partition("://")
    return bool(separator) and scheme.lower() in REMOTE_SCHEMES


@contextmanager
def local_path(video: str) -> Iterator[str]:
    """Path to read a video from, for as long as the context lasts.

    Raises:
        VideoError: a URL cannot be fetched (`fetch_error`, `not_found`, `permission_denied`, `missing_dependency`).
    """
    if not is_remote(video):
        yield video.removeprefix("file://")
        return
    with tempfile.TemporaryDirectory(prefix="videollm-") as folder:
        path = Path(folder) / f"video{PurePosixPath(urlsplit(video).path).suffix[:16]}"
        _fetch(video, path)
        yield str(path)


def _fetch(url: str, path: Path) -> None:
    try:
        import fsspec

        with fsspec.open(url, "rb") as remote, path.open("wb") as local:
            shutil.copyfileobj(remote, local, 1 << 20)
    except ImportError as error:
        hint = "pip install 'videollm[s3]' or 'videollm[gs]'"
        raise VideoError("missing_dependency", f"{url}: a package it needs is missing ({error}); {hint}.") from error
    except FileNotFoundError as error:
        if error.__cause__ is not None and not hasattr(error.__cause__, "status"):  # the server was not reached at all
            raise VideoError("fetch_error", f"{url}: could not be fetched ({error.__cause__}); try again.") from error
        raise VideoError("not_found", f"{url}: there is no such file on the server; check the address.") from error
    except PermissionError as error:
        raise VideoError("permission_denied", f"{url}: the server denies access; check the credentials.") from error
    except Exception as error:  # every file system behind fsspec raises its own kinds
        kind = type(error).__name__
        raise VideoError("fetch_error", f"{url}: could not be fetched ({kind}: {error}); try again.") from error
