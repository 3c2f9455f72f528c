"""Every benchmark's official layout: what is read, asked and counted as right; and what comes back from a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evals.benchmarks import BENCHMARKS, load_benchmark
from pipelines.evals.variants import load_questions, save_questions
from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import read

SPLITS = [(name, split) for name, cases in CASES.items() for split in cases.samples]
RULES = [(name, *rule) for name, cases in CASES.items() for rule in cases.rules]


def test_every_benchmark_has_cases() -> None:
    assert list(CASES) == list(BENCHMARKS.builtin)
    assert all(next(iter(cases.samples)) == load_benchmark(name).splits[0] for name, cases in CASES.items())


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_samples_are_those_of_the_official_files(
    name: str, split: str, miniature_folder: Callable[[str], Path]
) -> None:
    assert read(name, miniature_folder(name), split) == CASES[name].samples[split]


@pytest.mark.parametrize("name", CASES)
def test_prompts_are_the_official_ones(name: str) -> None:
    benchmark, first = load_benchmark(name), CASES[name].first[0]
    assert benchmark.prompt(first) == CASES[name].prompt
    assert benchmark.prompt(first, subtitles=True) == CASES[name].prompt
    assert benchmark.subtitles_heading == "This video's subtitles are listed below:"


@pytest.mark.parametrize(("name", "at", "text", "right"), RULES)
def test_official_rules(name: str, at: int, text: str, right: bool) -> None:
    assert load_benchmark(name).official(CASES[name].first[at], text) is right


@pytest.mark.parametrize("name", ["mlvu", "longvideobench", "lvbench", "perception_test", "videomme"])
def test_official_rules_follow_the_rotation(name: str) -> None:
    benchmark, one = load_benchmark(name), CASES[name].first[0]
    for by in range(len(one.options)):
        rotated = one.rotated(by)
        right = [letter for letter in "ABCDE"[: len(one.options)] if benchmark.official(rotated, letter)]
        assert right == ["ABCDE"[rotated.answer]]  # type: ignore[index]


@pytest.mark.parametrize("name", ["longvideobench", "perception_test"])
def test_unpublished_answers_have_no_official_score(name: str) -> None:
    assert load_benchmark(name).official(CASES[name].samples["test"][0], "A") is None


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_questions_come_back_from_the_run(name: str, split: str, tmp_path: Path) -> None:
    samples = CASES[name].samples[split]
    save_questions(samples, tmp_path)
    assert load_questions(tmp_path) == samples
