"""Annotation files to rows, and rows to fields; whatever is not as it should be is one error that says where."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.benchmarks.base import Sample
from pipelines.errors import UserError


class Fields:
    """A row of an annotation file, with its place in it.

    Args:
        values: name -> value.
        where: file and line, for errors.
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise UserError(f"{where}: got {type(values).__name__}, expected a row of named fields.")
        self.values, self.where = values, where

    def text(self, name: str) -> str:
        """A field that must hold text (or a number, taken as text)."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
            raise self.wrong(name, "text")
        return str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that must hold a list of texts, one at least."""
        value = self._get(name)
        if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str | int | float) for v in value):
            raise self.wrong(name, "a list of texts")
        return tuple(str(v) for v in value)

    def integer(self, name: str) -> int:
        """A field that must hold a whole number."""
        value = self._get(name)
        try:
            if isinstance(value, bool) or int(value) != float(value):
                raise ValueError
            return int(value)
        except (TypeError, ValueError):
            raise self.wrong(name, "a whole number") from None

    def seconds(self, name: str) -> float | None:
        """A field that holds seconds, 0 or more, if it is there."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            raise self.wrong(name, "seconds, 0 or more") from None
        if not 0 <= seconds < float("inf"):
            raise self.wrong(name, "seconds, 0 or more")
        return seconds

    def letter(self, name: str, options: tuple[str, ...]) -> int:
        """A field that must hold an option's letter, as its index."""
        value = self.text(name).strip().strip("().").upper()
        index = ord(value) - ord("A") if len(value) == 1 else -1
        if not 0 <= index < len(options):
            raise self.wrong(name, f"a letter from A to {chr(ord('A') + len(options) - 1)}")
        return index

    def index(self, name: str, options: tuple[str, ...]) -> int:
        """A field that must hold an option's index from 0."""
        index = self.integer(name)
        if not 0 <= index < len(options):
            raise self.wrong(name, f"an index of its {len(options)} options, 0 to {len(options) - 1}")
        return index

    def option(self, name: str, options: tuple[str, ...]) -> int:
        """A field that must hold an option's text, as its index."""
        value = self.text(name)
        if value not in options:
            raise self.wrong(name, f"one of its options {list(options)}")
        return options.index(value)

    def wrong(self, name: str, expected: str) -> UserError:
        """The error of a field that holds something else."""
        return UserError(f"{self.where}: {name} is {self.values.get(name)!r:.200}, expected {expected}.")

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise UserError(f"{self.where} has no field {name!r}; it has {', '.join(map(str, self.values)) or 'none'}.")
        return self.values[name]


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}. Fetch it again.") from error


def json_rows(path: Path) -> Iterator[Fields]:
    """Rows of a JSON file that holds a list."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path} holds {type(rows).__name__}, expected a list of questions.")
    for number, row in enumerate(rows, 1):
        yield Fields(row, f"{path}, entry {number}")


def jsonl_rows(path: Path) -> Iterator[Fields]:
    """Rows of a file with a JSON object a line."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield Fields(json.loads(line), f"{path}, line {number}")
            except ValueError as error:
                raise UserError(f"{path}, line {number} is not JSON: {error}. Fetch it again.") from error


def csv_rows(path: Path) -> Iterator[Fields]:
    """Rows of a CSV file with a header."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise UserError(f"{path}, line {reader.line_num} has not the fields of the header. Fetch it again.")
            yield Fields(row, f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} is not CSV: {error}. Fetch it again.") from error


def parquet_rows(path: Path) -> Iterator[Fields]:
    """Rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _exists(path)
    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no Parquet file that can be read: {error}. Fetch it again.") from error
    for number, row in enumerate(rows, 1):
        yield Fields(row, f"{path}, row {number}")


def read_text(path: Path) -> str:
    """Text of a UTF-8 file."""
    _exists(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error.reason} at byte {error.start}. Fetch it again.") from error


def checked(samples: Iterable[Sample], files: Iterable[Path]) -> list[Sample]:
    """The samples, all of them, once it is clear that they can be run.

    Raises:
        UserError: there are none, or two share an id.
    """
    found: dict[str, Sample] = {}
    names = ", ".join(map(str, files))
    for sample in samples:
        if sample.id in found:
            raise UserError(f"Two questions have the id {sample.id!r} in {names}. Ids must be unique.")
        found[sample.id] = sample
    if not found:
        raise UserError(f"No questions in {names}. Fetch the annotations again.")
    return list(found.values())


def _exists(path: Path) -> None:
    if not path.is_file():
        there = sorted(p.name for p in path.parent.iterdir())[:8] if path.parent.is_dir() else None
        has = f"{path.parent} has {', '.join(there)}" if there else f"{path.parent} is empty or missing"
        raise UserError(f"{path} is missing ({has}). --data must name the folder with the official annotation files.")
