"""Rows of manifest files, each with its line number; a row that cannot be read comes as the error that says why."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from videollm.errors import UserError, VideoError
from videollm.io import open_file, suffix

NumberedRow = tuple[int, dict[str, Any] | UserError]
"""Line in the file (of a Parquet file, row) from 1, and the fields of the row or why it has none."""


def read_rows(path: str) -> Iterator[NumberedRow]:
    """Read the rows of a .csv, .jsonl or .parquet file, here or behind a URL.

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


def _jsonl(data: bytes, path: str) -> Iterator[NumberedRow]:
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            fields = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield number, UserError(f"not UTF-8: {error.reason} at byte {error.start}")
        except (ValueError, RecursionError) as error:
            yield number, UserError(f"not JSON: {error}")
        else:
            if isinstance(fields, dict):
                yield number, fields
            else:
                yield number, UserError(f"got {type(fields).__name__}, expected a JSON object")


def _csv(data: bytes, path: str) -> Iterator[NumberedRow]:
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
            yield number, UserError(f"not CSV: {error}")
            continue
        if None in fields:
            yield number, UserError(f"more than the {len(reader.fieldnames or [])} columns of the first line")
        elif any(_undecoded(v) for v in fields.values()):
            yield number, UserError("not UTF-8")
        else:
            yield number, dict(fields)


def _undecoded(value: str | None) -> bool:
    return value is not None and any("\udc80" <= c <= "\udcff" for c in value)


def _parquet(data: bytes, path: str) -> Iterator[NumberedRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _check_columns(file.schema_arrow.names, path)
        number = 0
        for batch in file.iter_batches(batch_size=4096):
            for fields in batch.to_pylist():
                number += 1
                yield number, fields
    except pa.ArrowException as error:
        raise UserError(f"{path!r} is no Parquet file that can be read: {error}") from error


def _check_columns(columns: list[str] | Any, path: str) -> None:
    if "video" not in columns:
        raise UserError(f"{path!r} has columns {list(columns)}, expected `video` and, for `answer`, `question`.")
