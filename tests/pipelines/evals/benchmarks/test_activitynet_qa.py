"""ActivityNet-QA laid out as in its repository."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import read


def test_in_its_repository(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("activitynet_qa")
    (tmp_path / "dataset").mkdir()
    for part in "qa":
        shutil.copy(official / f"test_{part}.json", tmp_path / "dataset")
    rows = json.loads((tmp_path / "dataset/test_a.json").read_text())
    (tmp_path / "dataset/test_a.json").write_text(json.dumps(rows[::-1]))  # answers go by their question's id
    shutil.copy(official / "all_test/v_1QIUV7WYKXg.mp4", tmp_path)
    found = read("activitynet_qa", tmp_path, "test")
    assert [s.clip.video for s in found] == [*["v_1QIUV7WYKXg.mp4"] * 2, "all_test/v_9eniCub7u60.mp4"]
    assert [s.answer for s in found] == [s.answer for s in CASES["activitynet_qa"].first]
