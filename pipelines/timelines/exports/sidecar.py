"""Text and JSON beside each video."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pipelines.requests.discover import VIDEOS
from pipelines.results.run_record import find_video
from pipelines.results.schema import Row
from pipelines.timelines.exports.base import Export, Exported, caption_text, digest
from videollm.io import atomic_write, is_remote

MARK: Final = "videollm"
"""Key of a JSON sidecar under which it says which job made it, and of which texts."""
Fields = dict[str, Any]


class Sidecar(Export):
    """`clip.txt` and `clip.json` beside `clip.mp4`; below a folder of their own with `-o`, or if none can be written.

    A file that this job did not write, or that was changed since, is left as it is.
    """

    name = "sidecar"

    def run(self) -> Exported:
        """Write the files of every video; those that would not change are left alone."""
        for video, rows in self.videos():
            self._write(self._place(video), video, rows)
        if self.options.folder is None and not any(self.folder.iterdir()):
            self.folder.rmdir()
        return self.done

    def _place(self, video: str) -> Path:
        """Choose the path of a video's files, without `.txt` and `.json`."""
        found = find_video(self.record, video)
        local = None if is_remote(found) else Path(found)
        # Two videos that differ in their suffixes alone keep it, so that each has files of its own.
        whole = local is None or _stems(local.parent)[local.stem] > 1
        if local is not None and self.options.folder is None and os.access(local.parent, os.W_OK):
            return local if whole else local.with_suffix("")
        parts = PurePosixPath(video.replace("://", "/", 1)).parts
        if local is not None and ".." in parts:
            parts = Path(os.path.normpath(local)).parts
        mirrored = self.folder.joinpath(*(part for part in parts if part not in ("/", "..")))
        return mirrored if whole else mirrored.with_suffix("")

    def _write(self, place: Path, video: str, rows: Sequence[Row]) -> None:
        text, body = caption_text(rows).encode("utf-8", "backslashreplace"), {"video": video, "rows": list(rows)}
        texts, data = (place.with_name(f"{place.name}.{suffix}") for suffix in ("txt", "json"))
        job = self.record.get("config_hash")
        ours = _texts_of(data, job)
        there = texts.read_bytes() if texts.exists() else None
        if not self.options.overwrite:
            strange = there is not None and there != text and digest(there) not in (ours or ())
            if strange or (ours is None and data.exists()):
                self.done.left_out["videos beside which lie files that are not of this export (--overwrite)"] += 1
                return
        self.done.num_files += 2
        if ours and there == text and json.loads(data.read_bytes())[MARK]["body"] == digest(body):
            return
        # The JSON comes first, and names the old text beside the new one: after a crash between the two both are known.
        known = [digest(text), *([digest(there)] if there not in (None, text) else [])]
        place.parent.mkdir(parents=True, exist_ok=True)
        mark = {"export": self.name, "version": 1, "job": job, "texts": known, "body": digest(body)}
        _replace(data, (json.dumps({MARK: mark, **body}, indent=2) + "\n").encode("ascii"))
        _replace(texts, text)


def _texts_of(path: Path, job: str | None) -> list[str] | None:
    """Return the hashes of the texts that a JSON sidecar of a job knows; None if it is none, or was changed."""
    try:
        found: Fields = json.loads(path.read_bytes())
        mark = found.pop(MARK)
        texts: list[str] = mark["texts"]
        return texts if mark["job"] == job and mark["body"] == digest(found) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _replace(path: Path, data: bytes) -> None:
    with atomic_write(path) as scratch:
        scratch.write_bytes(data)


@lru_cache(maxsize=64)
def _stems(folder: Path) -> Counter[str]:
    """Count the videos of a folder by their names without suffix."""
    if not folder.is_dir():
        return Counter()
    return Counter(path.stem for path in folder.iterdir() if path.suffix.lower() in VIDEOS)
