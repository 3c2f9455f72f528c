"""LVBench: its layout beside the official code, options with odd spaces, and questions in several groups."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evals.compare import Point, compare
from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import read


def test_beside_the_official_code(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("lvbench")
    (tmp_path / "data").mkdir()
    shutil.copy(official / "video_info.meta.jsonl", tmp_path / "data")
    shutil.copytree(official / "all_videos", tmp_path / "videos")
    (tmp_path / "videos/Cm73ma6Ibcs.mp4").rename(tmp_path / "videos/Cm73ma6Ibcs.webm")
    found = [s.clip.video for s in read("lvbench", tmp_path, "test")]
    assert found == ["videos/Cm73ma6Ibcs.webm", *["videos/TiQBTesZUJQ.mp4"] * 2]


@pytest.mark.parametrize(
    "broken", ["\n(A) 1636\n (B) 1366\n(C)1363\n(D) 1633", "\n(A) 1636\n(B) 1366\n(C) 1363\n(D) 1633"]
)
def test_options_with_odd_spaces(broken: str, tmp_path: Path) -> None:
    qa = {"uid": 55, "question": f"What year (if any) appears?{broken}", "answer": "D", "question_type": ["reasoning"]}
    (tmp_path / "video_info.meta.jsonl").write_text(json.dumps({"key": "Cm73ma6Ibcs", "qa": [qa]}) + "\n\n")
    (found,) = read("lvbench", tmp_path, "test")
    assert (found.id, found.question) == ("55", "What year (if any) appears?")
    assert found.options == ("1636", "1366", "1363", "1633")
    assert found.clip.video == "all_videos/Cm73ma6Ibcs.mp4"  # where it should be


def test_a_question_counts_in_each_of_its_groups() -> None:
    found = CASES["lvbench"].first
    a, b = (
        [Point(id=s.id, cluster=s.clip.video, groups=s.groups, value=v) for s, v in zip(found, values, strict=True)]
        for values in ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0))
    )
    groups = compare(a, b, group_by=("question_type",), draws=100).groups["question_type"]
    assert {g.value: (g.mean_a, g.mean_b) for g in groups} == {
        "entity recognition": (1.0, 1.0),
        "event understanding": (0.0, 1.0),
        "key information retrieval": (0.0, 0.0),
        "reasoning": (0.0, 1.0),
    }
