"""The newest rows of a job's output, of however many: only the end of the journal, and of the last shard, is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.results.schema import OK, Row

TAIL_BYTES: Final = 512 * 1024
"""Read of the end of a file of lines."""


def newest_rows(folder: Path, num_rows: int, columns: Sequence[str]) -> list[Row]:
    """Return the newest rows, newest first, and the newest errors of the last shard; the job may be running.

    Args:
        num_rows: read at least as many, where the journal and the last shard have them.
        columns: those wanted; an older output may lack some.
    """
    rows = _lines(folder / "_journal.jsonl", columns)
    if len(rows) < num_rows and (shards := [*folder.glob("part-*.parquet"), *folder.glob("part-*.jsonl")]):
        last = max(shards, key=lambda path: path.stem)
        if last.suffix == ".parquet":
            rows = [*_shard(last, last.stat().st_mtime_ns, num_rows, tuple(columns)), *rows]
        else:
            rows = [*_lines(last, columns), *rows]
    return list({row["id"]: row for row in reversed(rows)}.values())


def _lines(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read the rows at the end of a file; a line that is cut off there, or is being written, is no row."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - TAIL_BYTES)
        file.seek(start)
        lines = file.read(TAIL_BYTES).splitlines(keepends=True)
    rows: list[Row] = []
    for line in lines[1 if start else 0 :]:
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            continue
        if isinstance(row, dict) and "id" in row:
            rows.append({name: row.get(name) for name in columns})
    return rows


@lru_cache(maxsize=4)
def _shard(path: Path, changed: int, num_rows: int, columns: tuple[str, ...]) -> tuple[Row, ...]:
    """Read the last rows and the last errors of a shard, in their order; `changed` tells its versions apart."""
    file = pq.ParquetFile(path)
    there = set(file.schema_arrow.names)
    status = file.read(columns=["status"]).column("status")
    errors = pc.indices_nonzero(pc.not_equal(status, OK)).to_pylist()[-num_rows:]
    wanted = sorted({*errors, *range(max(0, len(status) - num_rows), len(status))})
    table = file.read(columns=[name for name in columns if name in there])
    missing = {name: None for name in columns if name not in there}
    return tuple({**missing, **row} for row in table.take(pa.array(wanted, pa.int64())).to_pylist())
