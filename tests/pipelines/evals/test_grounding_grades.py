"""Grades of seconds and evidence, and the measures of long videos, from rows as searches write them."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.evals.benchmark import Sample
from pipelines.evals.benchmarks import load_benchmark
from pipelines.evals.evidence import costs_of, evidence_of
from pipelines.evals.grades import grade_grounding
from videollm.types import Clip

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def asked(
    kind: str = "shape", *, options: tuple[str, ...] = ("circle", "square"), answer: Any = 0, **more: Any
) -> Sample:
    groups = {"kind": kind, "minutes": "10", "position": "0.5", "place": "10 min, 0.5"}
    more = {"evidence": ((300.0, 304.0),), "seconds": 600.0, **more}
    return Sample(id="q", clip=Clip(video="v.mp4"), question="?", options=options, lettered=False, answer=answer,
                  groups=groups, **more)  # fmt: skip


def when() -> Sample:
    return asked("when", options=(), answer=None)


def row(answer: str, *evidence: tuple[float, float, float], searched: bool = True, **more: Any) -> dict[str, Any]:
    start, end, scores = map(list, zip(*evidence, strict=True)) if evidence else ([], [], [])
    return {"status": "ok", "answer": answer, "frame_indices": [1, 2, 3], "strategy": "mapreduce" if searched else None,
            "evidence_start": start, "evidence_end": end, "evidence_scores": scores, **more}  # fmt: skip


def grade(sample: Sample, of: dict[str, Any] | None, *others: dict[str, Any]) -> Any:
    pairs = [(sample, [of]), *((asked(), [other]) for other in others)]
    return grade_grounding(load_benchmark("longshapes"), pairs, None)[0]


def test_answer_and_evidence() -> None:
    found = grade(asked(), row("circle", (296, 312, 11.0), (0, 16, 2.0), (16, 32, -7.9)))
    assert (found.status, found.reading) == ("ok", "A")
    assert found.strict == {
        "accuracy": 1,
        "evidence hit": 1,
        "evidence tIoU": pytest.approx(4 / 16),
        "evidence R@0.3": 0,
        "evidence R@0.5": 0,
        "evidence IoP": pytest.approx(4 / 32),
    }


def test_rows_without_evidence_are_graded_on_the_answer_alone() -> None:
    assert grade(asked(), row("circle", searched=False)).strict == {"accuracy": 1}


@pytest.mark.parametrize("failed", [None, {"status": "timeout", "answer": None}])
def test_a_failed_row_of_a_search_found_nothing(failed: dict[str, Any] | None) -> None:
    found = grade(asked(), failed, row("circle"))
    assert set(found.strict) > {"accuracy", "evidence hit"}
    assert set(found.strict.values()) == {0}


def test_nothing_found_is_no_evidence() -> None:
    assert grade(asked(), row("circle")).strict["evidence hit"] == 0
    assert evidence_of(row("circle", (0, 16, -0.1))) == []


def test_seconds_are_the_answer() -> None:
    found = grade(when(), row("from 301 to 305 seconds", searched=False))
    assert (found.status, found.reading, found.rule) == ("ok", "301 - 305", "span")
    assert found.strict["accuracy"] == 1
    assert found.strict["mIoU"] == pytest.approx(3 / 5)
    assert (found.strict["R@0.5"], found.strict["R@0.7"]) == (1, 0)


def test_the_best_evidence_is_the_answer_where_the_text_names_no_seconds() -> None:
    found = grade(when(), row("yellow", (296, 312, 11.0), (0, 16, 2.0)))
    assert (found.status, found.reading, found.rule) == ("ok", "296 - 312", "evidence")
    assert found.strict["accuracy"] == 1
    assert found.strict["mIoU"] == found.strict["evidence tIoU"] == pytest.approx(1 / 4)


def test_no_seconds_and_no_evidence_is_no_answer() -> None:
    found = grade(when(), row("yellow", searched=False))
    assert (found.status, found.rule) == ("unparsed", "none")
    assert set(found.strict.values()) == {0}


def test_the_union_of_clues_is_the_official_rule_of_cg_bench() -> None:
    sample = asked(evidence=((0.0, 4.0), (10.0, 12.0)))
    (found,) = grade_grounding(load_benchmark("cg_bench"), [(sample, [row("A", (0, 4, 1), (10, 16, 1))])], None)
    assert found.compat == {"evidence mIoU": pytest.approx(6 / 10)}


@pytest.mark.parametrize(("said", "right", "error"), [("three", 1, 0), ("3", 1, 0), ("five.", 0, None), ("2", 0, 1)])
def test_counts_in_words_and_digits(said: str, right: float, error: float | None) -> None:
    sample = asked("count", options=NUMBERS, answer=2)
    assert grade(sample, row(said)).strict["accuracy"] == right
    measures = load_benchmark("longshapes").measures(sample, row(said))
    assert measures == ({} if error is None else {"count error": error})


def test_measures_of_times_and_false_alarms() -> None:
    benchmark = load_benchmark("longshapes")
    assert benchmark.measures(when(), row("", (296, 312, 11.0))) == {"time error, s": 2}
    assert benchmark.measures(when(), row("yellow", searched=False)) == {}
    absent = asked("exists", options=("yes", "no"), answer=1, evidence=())
    assert benchmark.measures(absent, row("yes", searched=False)) == {"false alarms an hour": 6}
    assert benchmark.measures(absent, row("no", (0, 16, 1.0), (32, 48, 2.0))) == {"false alarms an hour": 12}
    assert benchmark.measures(absent, row("no", (0, 16, -1.0))) == {"false alarms an hour": 0}


def test_costs_of_rows_of_searches_and_of_plain_ones() -> None:
    plain = row("circle", searched=False, num_prompt_tokens=50, num_generated_tokens=2, encode_seconds=0.5)
    assert costs_of(plain) == {"looks": 1, "frames": 3, "tokens": 52, "seconds": 0.5}
    assert costs_of({**plain, "num_looks": 38, "num_frames_scanned": 304})["frames"] == 304
    assert costs_of(None) == costs_of({"status": "timeout"}) == {}
