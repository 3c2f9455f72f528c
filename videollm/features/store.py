"""Tower features of clips on disk, so that another question or connector on the same clips decodes and encodes nothing.

An entry is one safetensors file named by a hash of all that its numbers depend on: the features of a clip and, as JSON,
what rows say of its frames, both under a checksum. Entries appear whole by renaming, so any number of processes and
machines may share a folder; those unused for longest go first when it is full.

Nothing but `put`, `unpack` and `tower_key` needs torch: processes that only look entries up stay light.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import torch

    from videollm.models.composed import EncodedClip, VideoLLM

VERSION: Final = 1
"""Part of every key: another number, and entries of before are not found. Raise it when decoding, preprocessing or a
tower gives other numbers than before, or when entries are laid out differently."""
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
        ValueError: the bound is not above 0.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ValueError(f"The feature cache may hold {max_bytes} bytes; expected more than 0.")
        self.folder, self.max_bytes = folder, max_bytes
        self.problem: str | None = None
        """Why the last entry that was not kept was not."""
        self._num_bytes: int | None = None  # as last seen, and what this process wrote since
        self._num_unseen_bytes = 0

    def check(self) -> None:
        """Make the folder.

        Raises:
            ValueError: it cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ValueError(
                f"The feature cache {self.folder} cannot be written: {error.strerror}. Name another folder."
            ) from error

    def get(self, key: str) -> bytes | None:
        """An entry, whole and as it was written; None if there is none. A damaged one is deleted."""
        path = self._path(key)
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        whole = _is_whole(entry)
        with suppress(OSError):  # it may be gone by now
            if whole:
                os.utime(path)  # the file system's own times of access are often off
            else:
                path.unlink()
        return entry if whole else None

    def put(self, key: str, clip: EncodedClip, facts: Mapping[str, Any]) -> None:
        """Keep an entry, unless it alone is larger than the bound.

        Args:
            facts: JSON-able, what else a reader wants to know of the clip.
        """
        path = self._path(key)
        scratch = path.with_suffix(f".{uuid.uuid4().hex}.partial")
        try:
            entry = pack(clip, facts)
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
        """Delete the entries unused for longest, until so many more bytes fit."""
        known, most_unseen = self._num_bytes, self.max_bytes * UNSEEN_SHARE
        if known is None or known + num_bytes > self.max_bytes or self._num_unseen_bytes > most_unseen:
            entries = sorted(self._entries())
            known = sum(e.num_bytes for e in entries)
            if known + num_bytes > self.max_bytes:
                for entry in entries:
                    if known + num_bytes <= self.max_bytes * KEPT_SHARE:
                        break
                    entry.path.unlink(missing_ok=True)
                    known -= entry.num_bytes
            self._num_unseen_bytes = 0
        self._num_bytes = known + num_bytes
        self._num_unseen_bytes += num_bytes

    def _entries(self) -> Iterator[_Entry]:
        """All entries; what dead writers left is deleted on the way. Files may vanish at any time."""
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


def make_key(**facts: Any) -> str:
    """The name of an entry: a hash of JSON-able facts, all that its numbers depend on."""
    return hashlib.sha256(json.dumps({"version": VERSION, **facts}, sort_keys=True).encode()).hexdigest()


def tower_key(model: VideoLLM) -> str:
    """A hash of all that the features of given frames depend on: the tower, its weights, and what pictures it is given.

    Not of the connector and the LLM. Takes a second for every GB of the tower's weights.
    """
    import torch

    weights = hashlib.sha256()
    for name, tensor in sorted(model.tower.state_dict().items()):
        weights.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return make_key(
        tower=model.config.vision,
        weights=weights.hexdigest(),
        transform=repr(model.transform),
        dtype=str(model.dtype),
        device=model.device.type,  # a GPU's sums differ from a CPU's
    )


def pack(clip: EncodedClip, facts: Mapping[str, Any]) -> bytes:
    """A clip as an entry: a safetensors file with a checksum of its header and its tensors."""
    import torch
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}
    for i, group in enumerate(clip.features):
        tensors[f"{i}.frames"] = torch.stack([f.cpu() for f in group.frames])  # (t h w d)
        tensors[f"{i}.seconds"] = group.seconds
    about = {
        "around": clip.around,
        "frame_indices": [int(i) for i in clip.frame_indices],
        "frame_seconds": [float(s) for s in clip.frame_seconds],
    }
    header, body = _split(save(tensors, {"clip": json.dumps(about), "facts": json.dumps(facts)}))
    header["__metadata__"]["sha256"] = _checksum(header, body)
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # the format wants tensors at multiples of 8
    return b"".join((len(text).to_bytes(8, "little"), text, body))


def unpack(entry: bytes, device: torch.device) -> EncodedClip:
    """The clip of an entry that `get` returned, its features on a device."""
    from safetensors.torch import load

    from connectors import ClipFeatures
    from videollm.models.composed import EncodedClip

    about, tensors = json.loads(_split(entry)[0]["__metadata__"]["clip"]), load(entry)
    return EncodedClip(
        features=tuple(
            ClipFeatures(frames=tensors[f"{i}.frames"].to(device).unbind(), seconds=tensors[f"{i}.seconds"])
            for i in range(len(about["around"]))
        ),
        around=tuple((before, after) for before, after in about["around"]),
        frame_indices=tuple(about["frame_indices"]),
        frame_seconds=tuple(about["frame_seconds"]),
    )


def read_facts(entry: bytes) -> dict[str, Any]:
    """The facts of an entry that `get` returned."""
    facts: dict[str, Any] = json.loads(_split(entry)[0]["__metadata__"]["facts"])
    return facts


def _is_whole(entry: bytes) -> bool:
    try:
        header, body = _split(entry)
        return bool(header["__metadata__"].pop("sha256") == _checksum(header, body))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _split(entry: bytes) -> tuple[dict[str, Any], memoryview]:
    """Header and tensors of a safetensors file: the header's length in 8 bytes, JSON, bytes."""
    start = 8 + int.from_bytes(entry[:8], "little")
    return json.loads(entry[8:start]), memoryview(entry)[start:]


def _checksum(header: dict[str, Any], body: memoryview) -> str:
    sha = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    sha.update(body)
    return sha.hexdigest()
