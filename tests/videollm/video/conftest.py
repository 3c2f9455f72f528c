from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import clips
from tests.support.paths import CLIPS
from videollm.errors import UserError
from videollm.video.decoding.base import DECODERS


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
    if not CLIPS.is_dir():
        pytest.skip(f"no real clips at {CLIPS}: put the folder `shared/clips` beside the repository to run this test")
    return CLIPS


@pytest.fixture(params=DECODERS.names())
def decoder(request: pytest.FixtureRequest) -> str:
    """Every decoder for which this machine has the packages and devices."""
    try:
        DECODERS.load(request.param).check()
    except (ImportError, UserError) as missing:
        pytest.skip(str(missing))
    return str(request.param)
