"""MSR-VTT with all splits in one file."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.benchmark_cases.base import read


def test_msrvtt_of_all_splits_in_one_file(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("msrvtt")
    shutil.copy(official / "test_videodatainfo.json", tmp_path / "MSRVTT_data.json")
    shutil.copytree(official / "TestVideo", tmp_path / "videos/all")
    assert [s.clip.video for s in read("msrvtt", tmp_path, "test")] == [
        f"videos/all/video{i}.mp4" for i in (7010, 7011)
    ]
