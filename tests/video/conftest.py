from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("video_clips", HERE / "clips.py")
assert spec is not None
assert spec.loader is not None
clips = sys.modules["video_clips"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clips)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clips of the session are written."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def base(folder: Path) -> Path:
    """120 frames of H.264 with B-frames and 5 keyframes."""
    return clips.write(folder / "base.mp4", 120, options={"g": "24", "bf": "3"})


@pytest.fixture(scope="session")
def real() -> Path:
    """Folder of real clips beside the repository."""
    path = HERE.parents[2] / "shared" / "clips"
    if not path.is_dir():
        pytest.skip(f"no real clips at {path}: put the folder `shared/clips` beside the repository to run this test")
    return path
