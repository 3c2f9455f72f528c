"""The output of a job: a journal that survives any death of the process, turned into shards that appear whole.

A row is in the journal as soon as `append` returns. Every `rows_per_shard` rows the journal becomes a shard: written
beside, renamed, and only then is the journal emptied; rows found in both at the next start count once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.results.schema import OK, ResultRow, Row, arrow_schema
from videollm.errors import UserError
from videollm.io import atomic_write


@dataclass(frozen=True, slots=True)
class Done:
    """Facts of a finished row that are kept in memory."""

    status: str
    fingerprint: str


class Output:
    """The folder of a job's results; one process writes into it at a time.

    Args:
        folder: made if missing.
        format: file format of the shards.
        rows_per_shard: rows after which the journal becomes a shard.
    Raises:
        UserError: the folder cannot be written, or another job writes into it.
    """

    def __init__(self, folder: Path, format: Literal["parquet", "jsonl"], rows_per_shard: int) -> None:
        self.folder, self.format, self.rows_per_shard = folder, format, rows_per_shard
        self.done: dict[str, Done] = {}
        self._in_journal = 0
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise UserError(f"Another job writes into {folder}. Wait for it, or use another -o.") from None
            self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._journal)
        os.close(self._lock)

    def load(self, *, drop_errors: bool = False) -> None:
        """Read which rows are done.

        Args:
            drop_errors: remove rows that are not ok, so that their requests run again.
        """
        with _explained(self.folder):
            for left in self.folder.glob("*.partial"):
                left.unlink()
            if drop_errors:
                # A row that is made of others comes after them. The last rows go first, so that a process that is
                # killed here never leaves a row whose parts are gone.
                self._load_journal(drop_errors)
                for shard in reversed(self._shards()):
                    self._load_shard(shard, drop_errors)
                self.done.clear()
            for shard in self._shards():
                self._load_shard(shard, drop_errors)
            self._load_journal(drop_errors)

    def is_empty(self) -> bool:
        """Tell whether there are no rows yet."""
        return not any(self.folder.glob("part-*")) and next(self._journal_rows(), None) is None

    def append(self, finished: Sequence[ResultRow]) -> None:
        """Append finished rows, all or none."""
        rows = [row.to_dict() for row in finished]
        data = b"".join(_line(row) for row in rows)
        with _explained(self.folder):
            size = os.fstat(self._journal).st_size
            try:
                _write(self._journal, data)
            except OSError:
                os.ftruncate(self._journal, size)
                raise
        self._remember(rows)
        self._in_journal += len(rows)
        if self._in_journal >= self.rows_per_shard:
            self.flush()

    def flush(self) -> None:
        """Turn the journal into a shard."""
        if not self._in_journal:
            return
        last = max((int(s.stem.rpartition("-")[2]) for s in self._shards()), default=-1)
        with _explained(self.folder):
            self._write_shard(self.folder / f"part-{last + 1:05d}.{self.format}", list(self._journal_rows()))
            os.ftruncate(self._journal, 0)
        self._in_journal = 0

    def counts(self) -> Counter[str]:
        """Count rows by status."""
        return Counter(d.status for d in self.done.values())

    @property
    def _journal_path(self) -> Path:
        return self.folder / "_journal.jsonl"

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob(f"part-*.{self.format}"))

    def _remember(self, rows: Iterable[Row]) -> None:
        self.done |= {r["id"]: Done(r["status"], r["fingerprint"]) for r in rows}

    def _load_shard(self, shard: Path, drop_errors: bool) -> None:
        heads = list(_read(shard, ["id", "status", "fingerprint"]))
        if drop_errors and any(r["status"] != OK for r in heads):
            kept = [r for r in _read(shard) if r["status"] == OK]
            if kept:
                self._write_shard(shard, kept)
            else:
                shard.unlink()
            heads = kept
        self._remember(heads)

    def _load_journal(self, drop_errors: bool) -> None:
        rows = [
            r
            for r in {r["id"]: r for r in self._journal_rows()}.values()
            if r["id"] not in self.done and not (drop_errors and r["status"] != OK)
        ]
        data = b"".join(_line(r) for r in rows)
        if data != self._journal_path.read_bytes():  # a torn line, rows that reached a shard, or dropped errors
            with atomic_write(self._journal_path) as scratch:
                scratch.write_bytes(data)
            os.close(self._journal)
            self._journal = os.open(self._journal_path, os.O_RDWR | os.O_APPEND)
        self._remember(rows)
        self._in_journal = len(rows)

    def _journal_rows(self) -> Iterator[Row]:
        """Read the rows of the journal; a line that was cut off while written is no row."""
        with self._journal_path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if line.endswith(b"\n"):
                    yield row

    def _write_shard(self, path: Path, rows: list[Row]) -> None:
        with atomic_write(path) as scratch:
            if self.format == "parquet":
                pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()), scratch, compression="zstd")
            else:
                scratch.write_bytes(b"".join(_line(r) for r in rows))


def read_rows(folder: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield all rows of a job's output, each once: shards first, then the journal; the job may be running.

    Args:
        columns: those wanted; an older output may lack some.
    """
    # The journal is read first: what becomes a shard meanwhile is found in both, and what is only there is not missed.
    journal = folder / "_journal.jsonl"
    left = {row["id"]: row for row in (_read(journal, columns) if journal.exists() else ())}
    seen: set[str] = set()
    for path in [*sorted(folder.glob("part-*.parquet")), *sorted(folder.glob("part-*.jsonl"))]:
        for row in _read(path, columns):
            if row["id"] not in seen:
                seen.add(row["id"])
                left.pop(row["id"], None)
                yield row
    yield from left.values()


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step."""
    with _explained(path.parent), atomic_write(path) as scratch:
        scratch.write_bytes((json.dumps(value, indent=2) + "\n").encode())


def _read(shard: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Read the rows of a file; a line that was cut off, or is being written, is no row."""
    if shard.suffix == ".parquet":
        for batch in pq.ParquetFile(shard).iter_batches(columns=None if columns is None else list(columns)):
            yield from batch.to_pylist()
    else:
        with shard.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    row = json.loads(line)
                    yield row if columns is None else {name: row[name] for name in columns if name in row}


def _line(row: Row) -> bytes:
    return json.dumps(row).encode("ascii") + b"\n"


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class _explained:  # noqa: N801 (reads as a word at its uses)
    """A context that turns an OSError into an error that tells the user what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise UserError(
                f"Cannot write to {self.folder}: {error.strerror or error}. Rows finished so far are kept; "
                "make room (or fix the folder) and run the same command to go on."
            ) from error
