"""Tower features of clips on disk, so that another question or connector on the same clips decodes and encodes nothing.

An entry is one file (see `codec.py`) named by a hash of all that its numbers depend on (see `key.py`). Entries appear
whole by renaming, so any number of processes and machines may share a folder; those unused for longest go first when
the folder is full. Only `put` needs torch.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from videollm.errors import UserError
from videollm.features.codec import is_whole, pack

if TYPE_CHECKING:
    from videollm.models.protocol import EncodedClip

KEPT_SHARE: Final = 0.9
"""Share of the bound that is left when entries are deleted, so that this is not to be done again at once."""
UNSEEN_SHARE: Final = 1 / 32
"""Share of the bound that a process writes before it looks at what others wrote."""
ABANDONED_SECONDS: Final = 3600.0
"""Age of a half-written file after which its writer is taken for dead."""
_ENTRY: Final = re.compile(r"[0-9a-f]{64}\.safetensors")
_PARTIAL: Final = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{32}\.partial")


class FeatureCache:
    """A folder of entries. Reads and writes never raise: what cannot be read is made again, what cannot be kept is not.

    Args:
        folder: may be shared; other files in it are left alone.
        max_bytes: size of all entries together; it may be passed by what other processes have just written.
    Raises:
        UserError: the bound is not above 0.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        if max_bytes < 1:
            raise UserError(f"The feature cache may hold {max_bytes} bytes; expected more than 0.")
        self.folder, self.max_bytes = folder, max_bytes
        self.problem: str | None = None
        """Why the last entry that was not kept was not."""
        self._num_bytes: int | None = None  # as last seen, and what this process wrote since
        self._num_unseen_bytes = 0

    def check(self) -> None:
        """Make the folder.

        Raises:
            UserError: the folder cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise UserError(
                f"The feature cache {self.folder} cannot be written: {error.strerror}. Name another folder."
            ) from error

    def get(self, key: str) -> bytes | None:
        """Read an entry, whole and as it was written; None if there is none. A damaged one is deleted."""
        path = self._path(key)
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        whole = is_whole(entry)
        with suppress(OSError):  # it may be gone by now
            if whole:
                os.utime(path)  # the file system's own times of access are often off
            else:
                path.unlink()
        return entry if whole else None

    def put(self, key: str, clip: EncodedClip, metadata: Mapping[str, Any]) -> None:
        """Keep an entry, unless this entry alone is larger than the bound.

        Args:
            metadata: JSON-able, further facts of the clip.
        """
        path = self._path(key)
        scratch = path.with_suffix(f".{uuid.uuid4().hex}.partial")
        try:
            entry = pack(clip, metadata)
            if len(entry) > self.max_bytes:
                return
            self._make_room(len(entry))
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(entry)
            scratch.replace(path)
        except (OSError, MemoryError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            self.problem = f"The feature cache {self.folder} did not take all features of this run: {why}."
            with suppress(OSError):
                scratch.unlink()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _make_room(self, num_bytes: int) -> None:
        """Delete the entries unused for longest, until `num_bytes` more fit."""
        # Listing a large folder is slow, so the size of all entries is estimated: what the last listing saw, and what
        # this process wrote since. It lists again where that passes the bound, and after it wrote its share of the
        # bound, so that many writers together notice each other before the folder grows far past it.
        known, most_unseen = self._num_bytes, self.max_bytes * UNSEEN_SHARE
        if known is None or known + num_bytes > self.max_bytes or self._num_unseen_bytes > most_unseen:
            # Entries sort by time of use, as `get` touches a file that it reads: the front of the list goes first.
            entries = sorted(self._entries())
            known = sum(e.num_bytes for e in entries)
            if known + num_bytes > self.max_bytes:
                for entry in entries:
                    if known + num_bytes <= self.max_bytes * KEPT_SHARE:  # some slack: the next put need not list
                        break
                    entry.path.unlink(missing_ok=True)
                    known -= entry.num_bytes
            # The share that this process may write before its next listing starts anew.
            self._num_unseen_bytes = 0
        self._num_bytes = known + num_bytes
        self._num_unseen_bytes += num_bytes

    def _entries(self) -> Iterator[_Entry]:
        """List all entries, and delete the files of dead writers on the way. Files may vanish at any time."""
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            with suppress(FileNotFoundError):
                if _ENTRY.fullmatch(path.name):
                    found = path.stat()
                    yield _Entry(found.st_mtime_ns, found.st_size, path)
                elif _PARTIAL.fullmatch(path.name) and path.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                    path.unlink()


class _Entry(NamedTuple):
    used_ns: int
    num_bytes: int
    path: Path
