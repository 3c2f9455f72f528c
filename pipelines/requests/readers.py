"""Rows of a manifest file, each with its line; what cannot be read is a row that says so."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from videollm.errors import UserError, VideoError
from videollm.io import open_file, suffix


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row: its fields, or why it has none."""

    number: int
    """Line in the file (of a Parquet file, row), from 1."""
    fields: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def read_lines(path: str) -> Iterator[Line]:
    """Rows of a .csv, .jsonl or .parquet file, here or behind a URL.

    Raises:
        UserError: the file cannot be read, or has no column `video`.
    """
    try:
        with open_file(path) as file:
            data = file.read()
    except (OSError, VideoError) as error:
        raise UserError(f"{path!r} cannot be read: {error}") from error
    read = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[suffix(path)]
    yield from read(data, path)


def _jsonl(data: bytes, path: str) -> Iterator[Line]:
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            fields = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield Line(number=number, error=f"not UTF-8: {error.reason} at byte {error.start}")
        except (ValueError, RecursionError) as error:
            yield Line(number=number, error=f"not JSON: {error}")
        else:
            if isinstance(fields, dict):
                yield Line(number=number, fields=fields)
            else:
                yield Line(number=number, error=f"got {type(fields).__name__}, expected a JSON object")


def _csv(data: bytes, path: str) -> Iterator[Line]:
    csv.field_size_limit(2**31 - 1)
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    _check_columns(reader.fieldnames or [], path)
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number=number, error=f"not CSV: {error}")
            continue
        if None in fields:
            yield Line(number=number, error=f"more than the {len(reader.fieldnames or [])} columns of the first line")
        elif any(_undecoded(v) for v in fields.values()):
            yield Line(number=number, error="not UTF-8")
        else:
            yield Line(number=number, fields=dict(fields))


def _undecoded(value: str | None) -> bool:
    return value is not None and any("\udc80" <= c <= "\udcff" for c in value)


def _parquet(data: bytes, path: str) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _check_columns(file.schema_arrow.names, path)
        number = 0
        for batch in file.iter_batches(batch_size=4096):
            for fields in batch.to_pylist():
                number += 1
                yield Line(number=number, fields=fields)
    except pa.ArrowException as error:
        raise UserError(f"{path!r} is no Parquet file that can be read: {error}") from error


def _check_columns(columns: list[str] | Any, path: str) -> None:
    if "video" not in columns:
        raise UserError(f"{path!r} has columns {list(columns)}, expected `video` and, for `answer`, `question`.")
