"""Tars of videos with their rows."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.timelines.exports.base import Export, Exported, caption_text, digest
from pipelines.timelines.names import file_stem
from videollm.errors import UserError
from videollm.io import atomic_write

INDEX: Final = "index.json"
"""File that says which samples each finished tar holds; a tar that it does not name is written again."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A video and what is said of it."""

    key: str
    video: Path
    rows: bytes
    """JSON."""
    text: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return self.video.stat().st_size + len(self.rows) + len(self.text)


class WebDataset(Export):
    """Tars of a bounded size for WebDataset: `key.mp4`, `key.json` (all rows of the video) and `key.txt`."""

    name = "webdataset"

    def run(self) -> Exported:
        """Write the tars of videos that are in none yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tars = self._finished()
        done = {key: rows for samples in self._tars.values() for key, rows in samples.items()}
        bound, held, size = self.options.tar_megabytes * 1e6, list[Sample](), 0
        for video, rows in self.videos():
            if (path := self.local_file(video)) is None:
                self.done.num_rows -= len(rows)
                continue
            data = (json.dumps({"video": video, "rows": rows}) + "\n").encode("ascii")
            text = caption_text(rows).encode("utf-8", "backslashreplace")
            sample = Sample(key=file_stem(video).replace(".", "_"), video=path, rows=data, text=text)
            self.done.num_files += 1
            if sample.key in done:
                if done[sample.key] != digest(data):
                    self.done.left_out["videos whose rows changed since their tar was written (--overwrite)"] += 1
                continue
            if held and size + sample.size > bound:
                self._write(held)
                held, size = [], 0
            held.append(sample)
            size += sample.size
        if held:
            self._write(held)
        return self.done

    def _finished(self) -> dict[str, dict[str, str]]:
        """Read which tars are finished: name -> key -> hash of the rows."""
        try:
            found: dict[str, dict[str, str]] = json.loads((self.folder / INDEX).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UserError(f"{self.folder / INDEX} is damaged: {error}. Delete it to write all tars again.") from error
        if not self.options.overwrite:
            return found
        (self.folder / INDEX).unlink()
        for name in found:
            (self.folder / name).unlink(missing_ok=True)
        return {}

    def _write(self, samples: Sequence[Sample]) -> None:
        """Write a tar, whose bytes depend on the samples alone, and then its line of the index."""
        ordered = sorted(samples, key=lambda sample: sample.key)
        name = f"{len(self._tars):06d}.tar"
        with atomic_write(self.folder / name) as scratch, tarfile.open(scratch, "w", format=tarfile.GNU_FORMAT) as tar:
            for sample in ordered:
                with sample.video.open("rb") as file:
                    suffix = sample.video.suffix.lower() or ".mp4"
                    _add(tar, f"{sample.key}{suffix}", file, sample.video.stat().st_size)
                _add(tar, f"{sample.key}.json", io.BytesIO(sample.rows), len(sample.rows))
                _add(tar, f"{sample.key}.txt", io.BytesIO(sample.text), len(sample.text))
        self._tars[name] = {sample.key: digest(sample.rows) for sample in ordered}
        with atomic_write(self.folder / INDEX) as scratch:
            scratch.write_text(json.dumps(self._tars, indent=1) + "\n")


def _add(tar: tarfile.TarFile, name: str, file: Any, size: int) -> None:
    info = tarfile.TarInfo(name)  # no time, no owner
    info.size = size
    tar.addfile(info, file)
