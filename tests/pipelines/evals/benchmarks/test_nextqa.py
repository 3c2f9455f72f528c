"""NExT-QA: its test split, its layout at lmms-eval and in its repository, and the map of its videos."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evals.benchmarks import load_benchmark
from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import read
from videollm.errors import UserError


def test_the_test_split(miniature_folder: Callable[[str], Path]) -> None:
    assert [s.id for s in load_benchmark("nextqa").samples(miniature_folder("nextqa"), "test")] == ["4882821564_1"]


def test_the_layout_of_lmms_eval(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("nextqa")
    with (official / "test.csv").open(newline="") as file:
        rows = [{k: int(v) if v.isdigit() else v for k, v in row.items()} for row in csv.DictReader(file)]
    (tmp_path / "MC").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "MC/test-00000-of-00001.parquet")
    shutil.copytree(official / "NExTVideo", tmp_path / "NExTVideo")
    assert read("nextqa", tmp_path, "test") == [CASES["nextqa"].first[2]]


def test_the_layout_of_its_repository(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("nextqa")
    (tmp_path / "dataset/nextqa").mkdir(parents=True)
    for name in ("val.csv", "map_vid_vidorID.json"):
        shutil.copy(official / name, tmp_path / "dataset/nextqa" / name)
    shutil.copytree(official / "NExTVideo", tmp_path / "NExTVideo")
    assert read("nextqa", tmp_path, "val") == CASES["nextqa"].first


def test_the_map_must_know_every_video(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(miniature_folder("nextqa") / "val.csv", tmp_path)
    (tmp_path / "map_vid_vidorID.json").write_text('{"4010069381": "1106/4010069381"}')
    with pytest.raises(UserError, match=r"map_vid_vidorID\.json has no field '4882821564'"):
        list(load_benchmark("nextqa").samples(tmp_path, "val"))
