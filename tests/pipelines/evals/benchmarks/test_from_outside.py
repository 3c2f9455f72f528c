"""A benchmark is one file and one line of the table; or one file outside, named by path, module or entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.evals.benchmarks import BENCHMARKS, Benchmark, load_benchmark
from pipelines.evals.run import EvalSpec, resolve_eval
from tests.support.miniatures.base import write_clip
from videollm.errors import UserError

MODULE = """
from pipelines.evals.benchmarks import Benchmark, Clip, Sample, json_rows

class Rooms(Benchmark):
    groups = ("room",)

    def files(self, folder, split):
        return [folder / "rooms.json"]

    def samples(self, folder, split):
        for row in json_rows(folder / "rooms.json"):
            options = row.texts("options")
            yield Sample(id=row.text("id"), clip=Clip(video=str(folder / row.text("video"))),
                         question=row.text("question"), options=options, answer=row.letter("answer", options),
                         groups={"room": row.text("room")})

class Half(Benchmark):
    def files(self, folder, split):
        return []
"""
ROW = {"id": "a", "video": "a.mp4", "question": "Which?", "options": ["x", "y"], "answer": "B", "room": "hall"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folder of the benchmark's files."""
    folder = tmp_path / "data"
    write_clip(folder / "a.mp4", "motion")
    (folder / "rooms.json").write_text(json.dumps([ROW]))
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path that an entry point names, as if it were installed."""
    (tmp_path / "rooms_of_mine.py").write_text(MODULE)
    info = tmp_path / "rooms_of_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rooms-of-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[videollm.benchmarks]\nrooms = rooms_of_mine:Rooms\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["rooms", "rooms_of_mine:Rooms", "{folder}/rooms_of_mine.py:Rooms"])
def test_a_benchmark_from_outside_is_asked(name: str, package: Path, data: Path) -> None:
    name = name.format(folder=package)
    assert type(load_benchmark(name)).__name__ == "Rooms"
    resolved = resolve_eval(EvalSpec(benchmark=name, data=data))
    assert resolved.config["benchmark"] == name
    assert [(s.id, s.answer, s.groups) for s in resolved.samples] == [("a", 1, {"room": "hall"})]
    assert [r.id for r in resolved.requests] == ["a"]


def test_a_file_holds_from_any_folder(package: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(package)
    resolved = resolve_eval(EvalSpec(benchmark="rooms_of_mine.py:Rooms", data=Path("data")))
    assert resolved.config["benchmark"] == f"{package / 'rooms_of_mine.py'}:Rooms"
    assert resolved.config["data"] == str(data)


def test_entry_points_are_listed(package: Path) -> None:
    assert BENCHMARKS.names()[-1] == "rooms"
    with pytest.raises(UserError, match=r"No benchmark 'room'; expected one of videomme, .*, rooms, a table of"):
        load_benchmark("room")


def test_classes_that_are_no_benchmarks_are_refused(package: Path) -> None:
    with pytest.raises(UserError, match=r"is <class 'pathlib.Path'>, expected a subclass of .*Benchmark"):
        load_benchmark("pathlib:Path")
    with pytest.raises(UserError, match="has no samples; expected a class with samples and files"):
        load_benchmark("rooms_of_mine:Half")


@pytest.mark.parametrize("name", BENCHMARKS.builtin)
def test_a_built_in_benchmark_is_one_file_and_one_line(name: str) -> None:
    made = BENCHMARKS.load(name)
    assert issubclass(made, Benchmark)
    assert made.__module__ == str(BENCHMARKS.builtin[name]).partition(":")[0]
