"""Benchmarks of one's own: plain tables, and classes in a file outside the tree."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.evals.benchmarks import Clip, Sample, TableBenchmark, load_benchmark
from tests.support.miniatures.base import ask, options, write_clip, write_json
from tests.support.paths import ROOT
from videollm.errors import UserError

ROW: dict[str, Any] = {"video": "a.mp4", "question": "Which color?", "options": ["red", "green"], "answer": "red"}


def table(path: Path, *rows: dict[str, Any]) -> TableBenchmark:
    """A .jsonl or .csv file of these rows."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
    return TableBenchmark(path)


def only(path: Path, row: dict[str, Any]) -> Sample:
    """The one sample of a table of one row."""
    (sample,) = table(path, row).samples(path.parent, "all")
    return sample


@pytest.mark.parametrize(("name", "given"), [("q.jsonl", ["red", "green"]), ("q.jsonl", "red|green"),
                                             ("q.csv", '["red", "green"]'), ("q.csv", "red | green")])  # fmt: skip
def test_every_column(name: str, given: Any, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    row = {**ROW, "options": given, "id": 7, "start": 1, "end": 2.5, "subtitles": "s/a.srt", "group": "cats",
           "group_length": "short", "notes": "blurred"}  # fmt: skip
    benchmark = table(tmp_path / name, row)
    assert benchmark.files(tmp_path, "all") == [tmp_path / name]
    samples = benchmark.samples(tmp_path, "all")
    assert (benchmark.kind, benchmark.groups, benchmark.splits) == ("choice", ("group", "group_length"), ("all",))
    assert samples == [
        Sample(
            id="7",
            clip=Clip(video=str(tmp_path / "a.mp4"), start=1.0, end=2.5),
            question="Which color?",
            options=("red", "green"),
            answer=0,
            groups={"group": "cats", "group_length": "short"},
            subtitles=tmp_path / "s/a.srt",
        )
    ]


def test_paths_start_at_the_folder_unless_they_are_whole(tmp_path: Path) -> None:
    videos = ["a.mp4", "/data/b.mp4", "https://example.org/c.mp4", "a.mp4"]
    found = table(tmp_path / "q.jsonl", *({**ROW, "video": v} for v in videos)).samples(Path("/elsewhere"), "all")
    assert [s.clip.video for s in found] == ["/elsewhere/a.mp4", *videos[1:3], "/elsewhere/a.mp4"]
    assert [s.id for s in found] == ["a-1", "b-2", "c-3", "a-4"]
    assert only(tmp_path / "q.jsonl", {**ROW, "video": "file:///data/b.mp4"}).clip.video == "/data/b.mp4"


@pytest.mark.parametrize(
    ("given", "answer", "right"),
    [
        (["red", "green"], "green", 1),
        (["red", "green"], " green ", 1),
        (["red", "green"], "B", 1),
        (["red", "green"], "b", 1),
        (["red", "green"], "(B)", 1),
        (["red", "green"], "B.", 1),
        (["1", "2", "3"], "2", 1),  # an option's text
        (["1", "2", "3"], 3, 2),
        (["A", "B"], "B", 1),  # its text and its letter
        (["B", "A"], "(A)", 0),  # in brackets it is the letter
        (["red", "red", "green"], "B", 1),
    ],
)
def test_answers(given: list[str], answer: Any, right: int, tmp_path: Path) -> None:
    assert only(tmp_path / "q.jsonl", {**ROW, "options": given, "answer": answer}).answer == right


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": "Red"}, "answer is 'Red', expected one of ['red', 'green'] or a letter, A to B"),
        ({"answer": "C"}, "A to B"),
        ({"answer": 1}, "a number may count from 0 or 1"),
        ({"answer": "0"}, "a number may count from 0 or 1"),
        ({"answer": True}, "expected text"),
        ({"answer": None}, "expected text"),
        ({"options": ["B", "A"], "answer": "A"}, "it fits A and B; write the letter in brackets"),
        ({"options": ["red", "red"], "answer": "red"}, "it fits A and B"),
        ({"options": ["red"]}, "expected 2 to 26 of them"),
        ({"options": [str(i) for i in range(27)]}, "expected 2 to 26 of them"),
        ({"options": ["red", " "]}, "expected a list of texts"),
        ({"options": "[red, green]"}, "expected a list of texts"),
        ({"options": ["red", 2]}, "expected a list of texts"),
        ({"video": ""}, "video is '', expected text"),
        ({"question": None}, "question is None"),
        ({"start": 3, "end": 2}, "expected seconds, start before end"),
        ({"end": "soon"}, "end is 'soon', expected seconds"),
        ({"subtitles": "none.srt"}, "none.srt are missing"),
        ({"group": ""}, "group is '', expected text"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        only(tmp_path / "q.jsonl", {**ROW, **changes})
    assert said in str(error.value)
    assert f"{tmp_path}/q.jsonl, line 1" in str(error.value)


@pytest.mark.parametrize(
    ("name", "answer", "right"),
    [
        ("q.jsonl", "a red ball", ("a red ball",)),
        ("q.jsonl", ["ball", "a red ball"], ("ball", "a red ball")),
        ("q.jsonl", 3, ("3",)),
        ("q.csv", "ball|a red ball", ("ball", "a red ball")),
        ("q.csv", '["ball", "a|b"]', ("ball", "a|b")),
    ],
)
def test_open_questions(name: str, answer: Any, right: tuple[str, ...], tmp_path: Path) -> None:
    row = {"video": "a.mp4", "question": "What rolls?", "answer": answer}
    benchmark = table(tmp_path / name, row)
    benchmark.samples(tmp_path, "all")
    assert benchmark.kind == "open"
    sample = only(tmp_path / name, row)
    assert (sample.options, sample.answer) == ((), right)
    assert TableBenchmark(tmp_path / name).prompt(sample) == "What rolls?"


@pytest.mark.parametrize("name", ["q.jsonl", "q.csv"])
def test_mixed_tables_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line \d has no options but .*line \d has"):
        table(tmp_path / name, ROW | {"options": "red|green"}, ROW | {"options": ""}).samples(tmp_path, "all")


def test_tables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        TableBenchmark(tmp_path / "none.jsonl").samples(tmp_path, "all")
    with pytest.raises(UserError, match="is no table of questions"):
        TableBenchmark(tmp_path / "q.xlsx")
    with pytest.raises(UserError, match="No questions"):
        table(tmp_path / "q.jsonl").samples(tmp_path, "all")
    with pytest.raises(UserError, match="Two questions have the id 'x'"):
        table(tmp_path / "q.jsonl", {**ROW, "id": "x"}, {**ROW, "id": "x"}).samples(tmp_path, "all")
    with pytest.raises(UserError, match="has no field 'group'"):
        table(tmp_path / "q.jsonl", {**ROW, "group": "x"}, ROW).samples(tmp_path, "all")
    (tmp_path / "q.csv").write_bytes("video,question,answer\nZoë.mp4,Who?,Zoë\n".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8"):
        TableBenchmark(tmp_path / "q.csv").samples(tmp_path, "all")


def test_a_table_is_a_benchmark_by_its_name(tmp_path: Path) -> None:
    table(tmp_path / "q.jsonl", ROW)
    assert isinstance(load_benchmark(str(tmp_path / "q.jsonl")), TableBenchmark)


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    question = ask("motion", "direction")
    write_clip(tmp_path / "clips/1.mp4", "motion")
    row = {"id": "k1", "clip": "clips/1.mp4", "question": question.text, "choices": list(options(question, 4, 1)),
           "answer": "B", "room": "pantry"}  # fmt: skip
    write_json(tmp_path / "questions.json", [row])
    benchmark = load_benchmark(f"{ROOT / 'examples/own_benchmark.py'}:Kitchen")
    (sample,) = benchmark.samples(tmp_path, "test")
    assert benchmark.files(tmp_path, "test") == [tmp_path / "questions.json"]
    assert Path(sample.clip.video).is_file()
    assert sample.options[1] == question.answer
    assert (sample.answer, sample.groups) == (1, {"room": "pantry"})
    assert benchmark.official(sample, "B") is None
    write_json(tmp_path / "questions.json", [{**row, "answer": "E"}])
    with pytest.raises(UserError, match=r"questions.json, entry 1: answer is 'E', expected a letter from A to D"):
        list(benchmark.samples(tmp_path, "test"))


def test_the_documentation_shows_what_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs/benchmarks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert code in (ROOT / "examples/own_benchmark.py").read_text()
    (rows,) = re.findall(r"```jsonl\n(.*?)```", text, re.DOTALL)
    (tmp_path / "q.jsonl").write_text(rows)
    benchmark = TableBenchmark(tmp_path / "q.jsonl")
    assert [s.answer for s in benchmark.samples(tmp_path, "all")] == [1, 1]


def test_names_of_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected one of videomme, mvbench, egoschema, nextqa"):
        load_benchmark("videomme2")
    with pytest.raises(UserError, match="has no attribute 'Kitchens'"):
        load_benchmark(f"{ROOT / 'examples/own_benchmark.py'}:Kitchens")
    with pytest.raises(UserError, match="cannot be imported"):
        load_benchmark(f"{tmp_path / 'none.py'}:Kitchen")
