"""Rows of split videos, made by hand, as the output of a job."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.results.journal import Output
from pipelines.results.schema import ResultRow
from videollm.errors import Status


def row(id: str, **columns: Any) -> ResultRow:
    status = Status.OK if columns.get("answer") is not None else Status.DECODE_ERROR
    error = None if status is Status.OK else "the video is damaged there"
    return ResultRow(**{"id": id, "status": status, "error": error, "fingerprint": "f", "question": "What?", **columns})


def split_rows(
    parent: str, video: str, texts: Iterable[str | None], *, chapters: Iterable[str | None] = (), overlap: float = 0.0
) -> list[ResultRow]:
    """Rows of a video of segments of 10 s, two to a chapter; a text that is None failed."""
    texts, chapters = list(texts), list(chapters)
    end = 10.0 * len(texts)
    rows = [
        row(f"{parent}/s{i:05d}", video=video, parent=parent, level="segment", segment=i, num_segments=len(texts),
            start=max(0.0, 10.0 * i - overlap / 2), end=min(end, 10.0 * (i + 1) + overlap / 2), answer=text)
        for i, text in enumerate(texts)
    ]  # fmt: skip
    rows += [
        row(f"{parent}/c{i:03d}", video=video, parent=parent, level="chapter", segment=i, start=20.0 * i,
            end=min(end, 20.0 * (i + 1)), answer=text)
        for i, text in enumerate(chapters)
    ]  # fmt: skip
    status = Status.PARTIAL if None in texts else Status.OK
    return [*rows, row(parent, video=video, level="video", start=0.0, end=end, answer="All of it.", status=status)]


def write_output(
    folder: Path, rows: Iterable[ResultRow], *, rows_per_shard: int = 10_000, format: Any = "parquet"
) -> Path:
    """The output of a job that holds these rows."""
    with Output(folder, format, rows_per_shard) as output:
        for each in rows:
            output.append([each])
    (folder / "run.json").write_text(json.dumps({"config": {"inputs": []}, "config_hash": "c", "sessions": [{}]}))
    return folder
