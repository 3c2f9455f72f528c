"""The interface of an export, and the table of exports."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from connectors.registry import Table
from pipelines.results.journal import read_rows
from pipelines.results.run_record import find_video, read_record
from pipelines.results.schema import COLUMNS, Row
from pipelines.timelines.grouping import group_rows
from pipelines.timelines.track_formats import clock
from pipelines.timelines.tracks import ANSWERED
from videollm.errors import UserError
from videollm.io import is_remote

FOLDER: Final = "exports"
"""In the output of a job."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is exported, and where to."""

    output: Path
    """Of the job."""
    folder: Path | None = None
    """Each export has a folder of its name below it; None: below `exports` in the output."""
    with_errors: bool = False
    """Export rows without an answer too."""
    overwrite: bool = False
    """Replace files that are not of this export, and begin anew where it had begun."""
    copy: bool = False
    """Copy videos where links would do (`hf-dataset`)."""
    tar_megabytes: float = 1000.0
    """Size from which on a tar is full (`webdataset`)."""

    def __post_init__(self) -> None:
        if not self.tar_megabytes > 0:
            raise UserError(f"--tar-megabytes is {self.tar_megabytes:g}; expected a number above 0.")


@dataclass(kw_only=True)
class Exported:
    """What became of an export."""

    place: Path
    num_rows: int = 0
    num_files: int = 0
    """Files, or samples of tars, that are there now."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why something was left out -> how often."""


class Export(ABC):
    """A form of export; a subclass needs no more than a name and `run`."""

    name: ClassVar[str]

    def __init__(self, options: ExportOptions) -> None:
        self.options = options
        self.record = read_record(options.output)
        self.folder = (options.folder or options.output / FOLDER) / self.name
        self.done = Exported(place=self.folder)

    @abstractmethod
    def run(self) -> Exported:
        """Export all rows that there are; what is finished is not done again."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield rows with all columns; count those that are left out."""
        for row in read_rows(self.options.output):
            if row["status"] in ANSWERED or self.options.with_errors:
                self.done.num_rows += 1
                yield {name: row.get(name) for name in COLUMNS}
            else:
                self.done.left_out["rows without an answer (--with-errors takes them too)"] += 1

    def videos(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield videos as the user names them, with their rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for video, rows in group_rows(self.rows(), lambda row: row["video"] or "", self.folder):
            if video:
                yield video, rows
            else:
                self.done.num_rows -= len(rows)
                self.done.left_out["rows that name no video"] += len(rows)

    def local_file(self, video: str) -> Path | None:
        """Find the file of a video; count one that there is not on this machine."""
        path = find_video(self.record, video)
        if is_remote(path):
            self.done.left_out["videos that are remote: fetch them, and name the copies in the job"] += 1
        elif not Path(path).is_file():
            self.done.left_out["videos of which there is no file"] += 1
        elif not os.access(path, os.R_OK):
            self.done.left_out["videos that may not be read"] += 1
        else:
            return Path(path)
        return None


EXPORTS: Final[Table[Export]] = Table(
    noun="export",
    group="videollm.exports",
    base="pipelines.timelines.exports.base:Export",
    error=UserError,
    builtin={
        "jsonl": "pipelines.timelines.exports.jsonl:JSONLines",
        "sidecar": "pipelines.timelines.exports.sidecar:Sidecar",
        "webdataset": "pipelines.timelines.exports.webdataset:WebDataset",
        "hf-dataset": "pipelines.timelines.exports.hf_dataset:HFDataset",
    },
)
"""Name -> class."""


def caption_text(rows: Sequence[Row]) -> str:
    """Say in plain text what rows say of a video: what is said of all of it, or else each part with its times."""
    answered = [row for row in rows if row["answer"]]
    whole = [row for row in answered if row["level"] == "video"]
    parts = whole or [row for row in answered if (row["level"] or "segment") == "segment"]
    parts.sort(key=lambda row: (row["start"] or 0.0, row["end"] or 0.0, row["id"]))
    several = len({row["question"] for row in parts}) > 1
    return "".join(f"{_prefix(row, several, timed=not whole)}{row['answer'].strip()}\n" for row in parts)


def digest(value: object) -> str:
    """Hash a value's JSON, or bytes, by SHA-256."""
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode("ascii")
    return hashlib.sha256(data).hexdigest()


def _prefix(row: Row, several: bool, *, timed: bool) -> str:
    question = f"{row['question']} " if several else ""
    if not timed or (row["start"] is None and row["end"] is None):
        return question
    start, end = (("" if t is None else clock(round(t * 1000))[:-4]) for t in (row["start"] or 0.0, row["end"]))
    return f"[{start}-{end}] {question}"
