"""LongVideoBench: subtitles of videos that are cut out of longer ones, and the file for its leaderboard."""

import json
from collections.abc import Callable
from pathlib import Path

from pipelines.evals.benchmarks import load_benchmark
from pipelines.evals.variants import build_requests
from tests.support.benchmark_cases import CASES
from videollm.prompts.subtitles import read_subtitles, spoken


def test_subtitles_are_those_of_the_cut_video(miniature_folder: Callable[[str], Path]) -> None:
    first, _, last = load_benchmark("longvideobench").samples(miniature_folder("longvideobench"), "val")
    assert first.subtitles is not None
    assert last.subtitles is not None
    assert spoken(read_subtitles(first.subtitles, first.subtitles_from), [0.5, 1.5]) == ["an orange one"]
    assert spoken(read_subtitles(last.subtitles, last.subtitles_from), [0.5]) == []
    assert spoken(read_subtitles(last.subtitles, last.subtitles_from), [0.5, 1.5]) == ["there it goes"]


def test_requests_bring_the_subtitles_of_the_cut_video(miniature_folder: Callable[[str], Path]) -> None:
    benchmark = load_benchmark("longvideobench")
    found = list(benchmark.samples(miniature_folder("longvideobench"), "val"))
    made = build_requests(found, benchmark, subtitles=[True], circular=False, own_prompt=True, limit_tokens=True)
    subtitles = made[-1].subtitles
    assert subtitles is not None
    assert [(c.start, c.text) for c in subtitles.cues] == [(-100.0, "long before"), (1.0, "there it goes")]


def test_the_submission_shows_what_was_not_read() -> None:
    one, other, _ = CASES["longvideobench"].first
    name, text = load_benchmark("longvideobench").submission([(one, 2), (other, None)]) or ("", "")
    assert name == "longvideobench_test_for_submission.json"
    assert json.loads(text) == {"86CxyhFV9MI_0": "C", "86CxyhFV9MI_1": ""}
