"""A folder that `datasets.load_dataset` reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.results.schema import arrow_schema
from pipelines.timelines.exports.base import Export, Exported
from pipelines.timelines.names import file_stem
from videollm.io import atomic_write

METADATA: Final = "metadata.parquet"
VIDEOS: Final = "videos"
BATCH: Final = 1000
CARD: Final = "README.md"
SPLITS: Final = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: ["metadata.parquet", "videos/*"]
---
"""
"""Without it, `datasets` takes a video called test_1.mp4 for one of a split of its own."""


class HFDataset(Export):
    """A folder for `datasets.load_dataset`: a line per row, with a Video column; the user's name of it is `source`."""

    name = "hf-dataset"

    def run(self) -> Exported:
        """Link or copy the videos that are not there yet, and write the table anew; it appears whole."""
        (self.folder / VIDEOS).mkdir(parents=True, exist_ok=True)
        self._names: dict[str, str | None] = {}
        names = ["source" if name == "video" else name for name in arrow_schema().names]
        schema = pa.schema([("file_name", pa.string()), *zip(names, arrow_schema().types, strict=True)])
        lines = self._lines()
        with atomic_write(self.folder / METADATA) as scratch, pq.ParquetWriter(scratch, schema) as writer:
            while batch := list(islice(lines, BATCH)):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        if not (self.folder / CARD).exists():
            with atomic_write(self.folder / CARD) as scratch:
                scratch.write_text(SPLITS)
        self.done.num_files = sum(name is not None for name in self._names.values())
        return self.done

    def _lines(self) -> Iterator[dict[str, Any]]:
        for row in self.rows():
            video = row.pop("video")
            if video is None:
                self._leave_out("rows that name no video")
                continue
            if video not in self._names:
                path = self.local_file(video)
                self._names[video] = None if path is None else self._put(path, file_stem(video))
            if (name := self._names[video]) is None:
                self._leave_out("rows of such videos")
            else:
                yield {"file_name": name, "source": video, **row}

    def _leave_out(self, why: str) -> None:
        self.done.num_rows -= 1
        self.done.left_out[why] += 1

    def _put(self, video: Path, stem: str) -> str:
        """Link or copy a video, and return its name from the folder."""
        name = f"{VIDEOS}/{stem}{video.suffix.lower()}"
        target = self.folder / name
        wanted = not self.options.copy
        if os.path.lexists(target) and (target.is_symlink() != wanted or not target.exists() or self.options.overwrite):
            target.unlink()
        if not os.path.lexists(target):
            if wanted:
                target.symlink_to(video.absolute())
            else:
                with atomic_write(target) as scratch:
                    shutil.copyfile(video, scratch)
        return name
