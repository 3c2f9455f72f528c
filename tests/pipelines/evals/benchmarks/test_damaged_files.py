"""Annotation files that are not as they should be: one error, which names the file and what is wrong in it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evals.benchmarks import load_benchmark
from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import File, Place
from videollm.errors import UserError

FILES = [pytest.param(name, file, id=f"{name} {file.path}") for name, cases in CASES.items() for file in cases.files]
JSON_FILES = [p for p in FILES if Path(p.values[1].path).suffix in (".json", ".jsonl")]
TABLES = (".csv", ".parquet")
"""Files in which all rows have the same fields."""

Damage = Callable[[str, File, Callable[[Path], None]], str]


def load(path: Path) -> Any:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def save(path: Path, value: Any) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(value) if value else pq.read_table(path).slice(0, 0), path)
    elif path.suffix == ".csv":
        names = list(value[0]) if value else list(load(path)[0])
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(value)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in value) if path.suffix == ".jsonl" else json.dumps(value)
        path.write_text(lines, encoding="utf-8")


def edit(place: Place, change: Callable[[Any, Any], None]) -> Callable[[Path], None]:
    """A change of the value at a place, given what holds it and its name there."""

    def edited(path: Path) -> None:
        holder = value = load(path)
        for step in place[:-1]:
            holder = holder[step]
        change(holder, place[-1])
        save(path, value)

    return edited


@pytest.fixture
def damage(miniature_folder: Callable[[str], Path], tmp_path: Path) -> Damage:
    """Changes a file in a copy of its miniature; returns what reading it says, which names the file."""

    def done(name: str, file: File, change: Callable[[Path], None]) -> str:
        benchmark = load_benchmark(name)
        shutil.copytree(miniature_folder(name), tmp_path / "data", ignore=shutil.ignore_patterns("*.mp4", "*.jpg"))
        path = tmp_path / "data" / file.path
        change(path)
        with pytest.raises(UserError) as error:
            list(benchmark.samples(tmp_path / "data", benchmark.splits[0]))
        assert path.name in str(error.value)
        return str(error.value)

    return done


@pytest.mark.parametrize(
    ("name", "file", "place"),
    [pytest.param(*p.values, place, id=f"{p.id} {place}") for p in FILES for place in p.values[1].fields],
)
def test_a_missing_field_is_named(name: str, file: File, place: Place, damage: Damage) -> None:
    def without(path: Path) -> None:
        save(path, [{k: v for k, v in row.items() if k != place[-1]} for row in load(path)])

    in_all_rows = Path(file.path).suffix in TABLES
    said = damage(name, file, without if in_all_rows else edit(place, lambda holder, field: holder.pop(field)))
    assert f"has no field {place[-1]!r}" in said


@pytest.mark.parametrize(
    ("name", "file", "place", "value", "expected"),
    [
        pytest.param(*p.values, place, value, expected, id=f"{p.id} {place} {value!r}")
        for p in FILES
        for place, value, *expected in p.values[1].wrong
    ],
)
def test_a_wrong_field_is_named(
    name: str, file: File, place: Place, value: Any, expected: list[str], damage: Damage
) -> None:
    said = damage(name, file, edit(place, lambda holder, field: holder.__setitem__(field, value)))
    assert all(part in said for part in expected)


@pytest.mark.parametrize(("name", "file"), [p for p in FILES if p.values[1].twice is not None])
def test_two_questions_of_one_id_are_refused(name: str, file: File, damage: Damage) -> None:
    assert file.twice is not None
    said = damage(name, file, edit(file.twice, lambda holder, at: holder.append(holder[at])))
    assert "Two questions have the id" in said


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_missing_file_is_named(name: str, file: File, damage: Damage) -> None:
    assert "--data must name the folder" in damage(name, file, Path.unlink)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_files_that_are_no_such_files_are_named(name: str, file: File, damage: Damage) -> None:
    said = damage(name, file, lambda path: path.write_bytes(b'[{"question": "Qu\xe9?"}]'))
    assert ("no Parquet file" if file.path.endswith(".parquet") else "is not UTF-8") in said
    assert "Fetch it again" in said


@pytest.mark.parametrize(("name", "file"), JSON_FILES)
def test_files_cut_short_are_named(name: str, file: File, damage: Damage) -> None:
    assert "is not JSON" in damage(name, file, lambda path: path.write_text(path.read_text().rstrip()[:-5]))


@pytest.mark.parametrize(
    ("name", "file", "value", "expected"),
    [
        pytest.param(*p.values, value, expected, id=f"{p.id} {value!r}")
        for p in FILES
        for value, *expected in p.values[1].other
    ],
)
def test_files_of_another_shape_are_named(
    name: str, file: File, value: Any, expected: list[str], damage: Damage
) -> None:
    said = damage(name, file, lambda path: path.write_text(json.dumps(value)))
    assert all(part in said for part in expected)


@pytest.mark.parametrize(("name", "file"), [p for p in FILES if p.values[1].empty is not None])
def test_files_without_questions_are_named(name: str, file: File, damage: Damage) -> None:
    assert "No questions in" in damage(name, file, lambda path: save(path, file.empty))
