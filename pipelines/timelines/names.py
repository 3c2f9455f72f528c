"""Names of files that are made for a video."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final

UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
"""What some file system does not take in a name."""
MAX_BYTES: Final = 120


def file_stem(video: str, key: str | None = None) -> str:
    """Name files after a video: its own name and eight digits, so that two videos of one name have files of their own.

    Args:
        video: as the user names it.
        key: what the files are about, if not the whole video.
    """
    stem = UNSAFE.sub("_", PurePosixPath(video).stem).encode("utf-8", "replace")[:MAX_BYTES].decode("utf-8", "ignore")
    digits = sha256((video if key is None else key).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{stem}-{digits}"
