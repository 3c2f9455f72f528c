"""Video-MME where it is laid out in other ways, and its rule under rotation."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pipelines.evals.benchmarks import load_benchmark
from tests.support.benchmark_cases import CASES


def test_the_layout_of_videollama2(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("videomme")
    shutil.copytree(official / "data", tmp_path / "videos")
    shutil.copytree(official / "subtitle", tmp_path / "subtitles")
    shutil.copy(official / "videomme/test-00000-of-00001.parquet", tmp_path)
    first = next(iter(load_benchmark("videomme").samples(tmp_path, "test")))
    assert Path(first.clip.video) == tmp_path / "videos/fFjv93ACGo8.mp4"
    assert first.subtitles == tmp_path / "subtitles/fFjv93ACGo8.srt"


def test_the_official_rule_follows_the_rotation() -> None:
    benchmark, sample = load_benchmark("videomme"), CASES["videomme"].first[0]
    assert benchmark.official(sample.rotated(3), "A") is True
    assert benchmark.official(sample.rotated(3), "D") is False
