"""Rows and fields of annotation files; anything wrong raises one error that says where."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

from pipelines.evals.benchmark import Sample
from videollm.errors import UserError

VIDEO_SUFFIXES: Final = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".MP4")
"""Of files whose annotations give the video's name alone, the likeliest first."""
_DATA: Final = "--data must name the folder with the official annotation files."


class Fields:
    """Row of an annotation file that knows its place.

    Args:
        values: name -> value.
        where: file and line, for errors.
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise UserError(f"{where}: got {type(values).__name__}, expected a row of named fields.")
        self.values, self.where = values, where

    def text(self, name: str) -> str:
        """Return a field that must hold text (or a number, taken as text)."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
            raise self.wrong(name, "text")
        return str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a field that must hold a list of texts, one at least."""
        value = self._get(name)
        if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str | int | float) for v in value):
            raise self.wrong(name, "a list of texts")
        return tuple(str(v) for v in value)

    def integer(self, name: str) -> int:
        """Return a field that must hold a whole number."""
        value = self._get(name)
        try:
            if isinstance(value, bool) or int(value) != float(value):
                raise ValueError
            return int(value)
        except (TypeError, ValueError):
            raise self.wrong(name, "a whole number") from None

    def seconds(self, name: str) -> float | None:
        """Return a field that holds seconds, 0 or more; None where the field is missing."""
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

    def segment(self, *, required: bool = False) -> tuple[float | None, float | None]:
        """Return fields `start` and `end`, seconds in this order; None for a missing field."""
        start, end = self.seconds("start"), self.seconds("end")
        if (required and None in (start, end)) or (end is not None and (start or 0.0) >= end):
            raise UserError(
                f"{self.where}: start is {self.values.get('start')!r:.200} and end is {self.values.get('end')!r:.200}, "
                "expected seconds, start before end."
            )
        return start, end

    def spans(self, name: str) -> tuple[tuple[float, float], ...]:
        """Return a field that must hold a list of [start, end], seconds with the end after the start."""
        value = self._get(name)
        try:
            spans = tuple((float(start), float(end)) for start, end in value)
        except (TypeError, ValueError):
            spans = ((1.0, 0.0),)
        if not all(0 <= start < end < float("inf") for start, end in spans):
            raise self.wrong(name, "a list of [start, end] in seconds, start before end")
        return spans

    def lettered(self, name: str) -> tuple[str, ...]:
        """Return a field that must hold options with their letters (`A. Red`), without the letters."""
        options = self.texts(name)
        if any(o[:2] != f"{letter}." or not o[2:].strip() for letter, o in zip(ascii_uppercase, options, strict=False)):
            raise self.wrong(name, "options with their letters, A. first")
        return tuple(o[2:].strip() for o in options)

    def letter(self, name: str, options: tuple[str, ...]) -> int:
        """Return a field that must hold an option's letter, as the option's index."""
        value = self.text(name).strip().strip("().").upper()
        index = ord(value) - ord("A") if len(value) == 1 else -1
        if not 0 <= index < len(options):
            raise self.wrong(name, f"a letter from A to {chr(ord('A') + len(options) - 1)}")
        return index

    def index(self, name: str, options: tuple[str, ...]) -> int:
        """Return a field that must hold an option's index, from 0."""
        index = self.integer(name)
        if not 0 <= index < len(options):
            raise self.wrong(name, f"an index of its {len(options)} options, 0 to {len(options) - 1}")
        return index

    def option(self, name: str, options: tuple[str, ...]) -> int:
        """Return a field that must hold an option's text (space around it aside), as the option's index."""
        value, texts = str(self._get(name)).strip(), [o.strip() for o in options]  # an option may be blank (MLVU)
        if value not in texts:
            raise self.wrong(name, f"one of its options {list(options)}")
        return texts.index(value)

    def rows(self, name: str) -> list[Fields]:
        """Return a field that must hold a list of rows, one at least."""
        value = self._get(name)
        if not isinstance(value, list) or not value:
            raise self.wrong(name, "a list of rows")
        return [Fields(row, f"{self.where}, {name} {number}") for number, row in enumerate(value, 1)]

    def wrong(self, name: str, expected: str) -> UserError:
        """Make the error of a field that holds something else."""
        return UserError(f"{self.where}: {name} is {self.values.get(name)!r:.200}, expected {expected}.")

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise UserError(f"{self.where} has no field {name!r}; it has {', '.join(map(str, self.values)) or 'none'}.")
        return self.values[name]


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}. Fetch it again.") from error


def json_rows(path: Path) -> Iterator[Fields]:
    """Yield the rows of a JSON file that holds a list."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path} holds {type(rows).__name__}, expected a list of questions.")
    for number, row in enumerate(rows, 1):
        yield Fields(row, f"{path}, entry {number}")


def jsonl_rows(path: Path) -> Iterator[Fields]:
    """Yield the rows of a file with one JSON object per line."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield Fields(json.loads(line), f"{path}, line {number}")
            except ValueError as error:
                raise UserError(f"{path}, line {number} is not JSON: {error}. Fetch it again.") from error


def csv_rows(path: Path) -> Iterator[Fields]:
    """Yield the rows of a CSV file with a header."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise UserError(f"{path}, line {reader.line_num} has not the fields of the header. Fetch it again.")
            yield Fields(row, f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} is not CSV: {error}. Fetch it again.") from error


def parquet_rows(path: Path) -> Iterator[Fields]:
    """Yield the rows of a Parquet file."""
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
    """Read the text of a UTF-8 file."""
    _exists(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error.reason} at byte {error.start}. Fetch it again.") from error


def one_of(folder: Path, *names: str) -> Path:
    """Return the first of these files that exists.

    Raises:
        UserError: no such file exists.
    """
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise UserError(f"{folder} has none of {', '.join(names)} ({_listing(folder)}). {_DATA}")
    return found


def first_there(*paths: Path) -> Path:
    """Return the first path that exists; otherwise the first of all, to be reported as missing."""
    return next((path for path in paths if path.exists()), paths[0])


def find_video(folders: Iterable[Path], stem: str, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> str:
    """Find a video by its name: the first candidate that exists, otherwise the first candidate."""
    return str(first_there(*(folder / f"{stem}{suffix}" for folder in folders for suffix in suffixes)))


def checked(samples: Iterable[Sample], files: Iterable[Path]) -> list[Sample]:
    """Collect samples and check that they can be run.

    Raises:
        UserError: there are no samples, or two share an id.
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
        raise UserError(f"{path} is missing ({_listing(path.parent)}). {_DATA}")


def _listing(folder: Path) -> str:
    """Say what a folder holds, for errors."""
    there = sorted(p.name for p in folder.iterdir())[:8] if folder.is_dir() else None
    return f"{folder} has {', '.join(there)}" if there else f"{folder} is empty or missing"
