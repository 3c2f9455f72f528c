"""What holds for every benchmark of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.evals.benchmarks import BENCHMARKS, Benchmark, Sample, load_benchmark
from tests.support.miniatures import MINIATURES
from videollm.errors import UserError

QUESTION_ALONE = {"shapes", "longshapes"}
"""Benchmarks that ask in words what has options to score by."""


def questions(name: str, miniature_folder: Callable[[str], Path]) -> Iterator[tuple[Benchmark, list[Sample]]]:
    """The samples of each split."""
    benchmark = load_benchmark(name)
    for split in benchmark.splits:
        yield benchmark, list(benchmark.samples(miniature_folder(name), split))


def test_every_benchmark_has_a_miniature() -> None:
    assert set(BENCHMARKS) == set(MINIATURES)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_samples_can_be_run_and_scored(name: str, miniature_folder: Callable[[str], Path]) -> None:
    for benchmark, samples in questions(name, miniature_folder):
        assert samples
        assert len({s.id for s in samples}) == len(samples)
        assert benchmark.macro is None or benchmark.macro in benchmark.groups
        for sample in samples:
            assert Path(sample.clip.video).exists()
            assert sample.subtitles is None or sample.subtitles.is_file()
            assert set(benchmark.groups) <= set(sample.groups)
            assert all(sample.groups.values())
            if sample.options:
                assert sample.answer is None or sample.answer in range(len(sample.options))
            else:
                assert benchmark.kind != "choice"
                assert sample.answer is None or isinstance(sample.answer, tuple)
                assert sample.answer is None or all(sample.answer)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_prompts_show_the_question_and_every_option(name: str, miniature_folder: Callable[[str], Path]) -> None:
    for benchmark, samples in questions(name, miniature_folder):
        for sample in samples:
            prompt = benchmark.prompt(sample)
            assert sample.question.lower() in prompt.lower()  # ActivityNet-QA's get a capital letter
            at = prompt.lower().index(sample.question.lower()) + len(sample.question)
            for option in () if name in QUESTION_ALONE else sample.options:  # in their order, after the question
                at = prompt.index(option, at) + len(option)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_rotations_keep_the_right_option(name: str, miniature_folder: Callable[[str], Path]) -> None:
    for _, samples in questions(name, miniature_folder):
        for sample in samples:
            rotated = [sample.rotated(by) for by in range(len(sample.options))]
            assert len({r.options[0] for r in rotated}) == len(set(sample.options))
            if isinstance(sample.answer, int):
                assert {r.options[r.answer] for r in rotated} == {sample.options[sample.answer]}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_files_of_the_record_are_there(name: str, miniature_folder: Callable[[str], Path]) -> None:
    benchmark = load_benchmark(name)
    for split in benchmark.splits:
        files = benchmark.files(miniature_folder(name), split)
        assert files
        assert all(file.is_file() for file in files)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_wrong_folder_says_what_is_missing(name: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").touch()
    benchmark = load_benchmark(name)
    with pytest.raises(UserError, match=r"(is missing|has none of) .*--data must name the folder"):
        list(benchmark.samples(tmp_path, benchmark.splits[0]))
