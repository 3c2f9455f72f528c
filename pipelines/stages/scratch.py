"""Scratch folders that are not left behind: each is locked by the processes that use the folder.

A process that is killed clears nothing, but the kernel lets its lock go, and the next process that wants a scratch
folder removes all that nobody holds. A model folder that was copied to a machine, named by its content, is shared by
the machine's workers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class Scratch:
    """A folder that this process holds until `release`, or until the process ends.

    Args:
        path: of the folder; its lock is the file beside it.
        lock: descriptor of that file, locked.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock

    def release(self) -> None:
        """Release the folder, which is removed unless another process holds it too."""
        os.close(self._lock)
        clear(self.path.parent)


def private_folder() -> Scratch:
    """Make an empty folder that no other process uses."""
    return shared_folder(uuid.uuid4().hex, lambda path: None)


def shared_folder(name: str, fill: Callable[[Path], None]) -> Scratch:
    """Return a folder shared by all processes of this user on this machine that ask for the same name.

    Args:
        name: of its content: the same name, the same files.
        fill: writes the files into an empty folder; called in one process.
    """
    root = _root()
    clear(root)
    while True:
        lock = os.open(root / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _take(lock, root / name, fill):
                return Scratch(root / name, lock)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _take(lock: int, path: Path, fill: Callable[[Path], None]) -> bool:
    """Lock a folder for reading, filled first if new; False where the folder was cleared before the lock."""
    file, partial = path.with_name(f"{path.name}.lock"), path.with_name(f"{path.name}.partial")
    fcntl.flock(lock, fcntl.LOCK_SH)
    if not path.is_dir() and _is_current(lock, file):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_current(lock, file) and not path.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            fill(partial)
            partial.rename(path)
        fcntl.flock(lock, fcntl.LOCK_SH)  # neither change of the lock is one step: the folder may be cleared in between
    return path.is_dir() and _is_current(lock, file)


def clear(root: Path) -> None:
    """Remove the folders that no process holds."""
    for file in root.glob("*.lock"):
        with suppress(OSError):
            lock = os.open(file, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for folder in (file.with_suffix(""), file.with_suffix(".partial")):
                    shutil.rmtree(folder, ignore_errors=True)
                file.unlink()
            finally:
                os.close(lock)


def _root() -> Path:
    root = Path(tempfile.gettempdir()) / f"videollm-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    return root


def _is_current(lock: int, file: Path) -> bool:
    """Tell whether a locked descriptor is still that of the named file."""
    try:
        return os.fstat(lock).st_ino == file.stat().st_ino
    except FileNotFoundError:
        return False
