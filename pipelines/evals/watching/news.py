"""What the page of a job shows: progress, rates, the last errors and answers, all read from its output folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from pipelines.evals.report.thumbnails import Pictures, PictureSpec, make_pictures, strip_of
from pipelines.results.run_record import find_video, read_record
from pipelines.results.schema import OK, Row
from pipelines.results.tail import newest_rows
from videollm.types import Clip

NUM_ANSWERS: Final = 12
NUM_ERRORS: Final = 20
NUM_ROWS: Final = 200
"""Newest rows among which answers and errors are looked for."""
NUM_PICTURES: Final = 64
"""Pictures, and rows to make them of, that are kept."""
LONGEST_TEXT: Final = 2000
COLUMNS: Final = (
    *("id", "video", "start", "end", "question", "answer", "status", "error", "level", "strategy"),
    *("frame_indices", "frame_seconds", "video_hash"),
)
PICTURE: Final = PictureSpec(megabytes=0.1, per_clip=1)


class News:
    """News of one job; reads its folder and writes nothing.

    Raises:
        UserError: the folder is no output of a job.
    """

    def __init__(self, folder: Path) -> None:
        read_record(folder)
        self.folder = folder
        self._rows: OrderedDict[str, Row] = OrderedDict()
        """Key of a row on the page -> the row: pictures are made of these alone."""
        self._pictures: OrderedDict[str, Pictures] = OrderedDict()
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()

    def read(self) -> dict[str, Any]:
        """Read what there is now, as values for JSON."""
        record = read_record(self.folder)
        rows = newest_rows(self.folder, NUM_ROWS, COLUMNS)
        answers = [row for row in rows if row["status"] == OK][:NUM_ANSWERS]
        errors = [row for row in rows if row["status"] != OK][:NUM_ERRORS]
        with self._lock:
            for row in answers:
                self._rows[_key(row)] = row
                self._rows.move_to_end(_key(row))
            _shrink(self._rows)
        status = self._status()
        return {
            "folder": str(self.folder.resolve()),
            "command": _text(record["config"].get("command")),
            "started": record["sessions"][-1].get("started"),
            "finished": record.get("finished"),
            "status": status,
            "silent_seconds": None if status is None else _seconds_since(status.get("updated")),
            "answers": [{"key": _key(row), **_about(row), "answer": _text(row["answer"])} for row in answers],
            "errors": [{**_about(row), "status": row["status"], "error": _text(row["error"])} for row in errors],
        }

    def picture(self, key: str) -> Pictures | None:
        """Make the picture of a row that the page has shown, or say why there is none; None: there is no such row."""
        with self._one_at_a_time:
            with self._lock:
                row = self._rows.get(key)
            if row is None:
                return None
            if key not in self._pictures:
                self._pictures[key] = self._make(row)
                _shrink(self._pictures)
            return self._pictures[key]

    def _make(self, row: Row) -> Pictures:
        if not row["frame_indices"]:
            return Pictures(missing="The answer is of no frames.")
        record = read_record(self.folder)
        clip = Clip(video=find_video(record, row["video"]), start=row["start"], end=row["end"])
        (made,) = make_pictures([strip_of(row, clip, record)], PICTURE)
        return made

    def _status(self) -> dict[str, Any] | None:
        """Read status.json, which is replaced in one step; None: the job has not written it yet."""
        path = self.folder / "status.json"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found


def _about(row: Row) -> Mapping[str, Any]:
    names = ("video", "question", "level")
    return {**{name: _text(row[name]) for name in names}, "start": row["start"], "end": row["end"]}


def _text(value: str | None) -> str | None:
    return value if value is None or len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + " ..."


def _key(row: Row) -> str:
    """Name a row in a URL, whatever its id holds; a row that was answered again has another name."""
    seen = json.dumps([row["id"], row["video_hash"], row["frame_indices"]])
    return hashlib.sha256(seen.encode()).hexdigest()[:24]


def _shrink(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > NUM_PICTURES:
        kept.popitem(last=False)


def _seconds_since(moment: str | None) -> float | None:
    return None if moment is None else (datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds()
