"""MVBench unpacked elsewhere, and the segments of its tasks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.evals.benchmarks import load_benchmark
from pipelines.evals.benchmarks.mvbench import TASKS
from videollm.errors import UserError


@pytest.fixture
def annotations(miniature_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of json/, to be changed."""
    shutil.copytree(miniature_folder("mvbench") / "json", tmp_path / "json")
    return tmp_path / "json"


def change(path: Path, **changes: Any) -> None:
    """Change fields of a file's first question."""
    path.write_text(json.dumps([json.loads(path.read_text())[0] | changes]))


def test_unpacked_at_the_top(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("mvbench")
    shutil.copytree(official / "video", tmp_path / "top")
    shutil.copytree(official / "json", tmp_path / "top/json")
    assert all(Path(s.clip.video).exists() for s in load_benchmark("mvbench").samples(tmp_path / "top", "test"))


@pytest.mark.parametrize(("start", "end"), [(None, 4.0), (0.0, None), (3.0, 3.0), (-1.0, 2.0), ("soon", 2.0)])
def test_segments_must_be_there(start: Any, end: Any, annotations: Path) -> None:
    change(annotations / "action_sequence.json", start=start, end=end)
    with pytest.raises(UserError, match=r"action_sequence\.json.*expected seconds"):
        list(load_benchmark("mvbench").samples(annotations.parent, "test"))


def test_no_other_segments_are_used(annotations: Path) -> None:
    change(annotations / "object_existence.json", start=1.0, end=2.0)
    found = {s.id: s.clip for s in load_benchmark("mvbench").samples(annotations.parent, "test")}
    assert (found["object_existence/0"].start, found["object_existence/0"].end) == (None, None)
    assert len(found) == len(TASKS)
