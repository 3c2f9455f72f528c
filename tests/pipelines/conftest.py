"""Real clips, a real (untrained) model folder, and real servers."""

from __future__ import annotations

import functools
import http.server
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.paths import ROOT


def _write_clip(
    path: Path, *, seed: int = 0, num_frames: int = 12, size: tuple[int, int] = (64, 64), fps: int = 8
) -> Path:
    """A small H.264 file of drifting blocks."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = rng.integers(0, 255, (8, 8, 3), np.uint8).repeat(height // 8, axis=0).repeat(width // 8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "g": "4"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for i in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(image, i, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8 clips, clip0.mp4 to clip7.mp4."""
    folder = tmp_path_factory.mktemp("clips")
    for i in range(8):
        _write_clip(folder / f"clip{i}.mp4", seed=i)
    return folder


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """Writes a clip of drifting noise."""
    return _write_clip


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The embedded architecture with new weights, saved."""
    from videollm.shapes.architecture import build

    folder = tmp_path_factory.mktemp("models") / "untrained"
    build("stc", seed=0).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def server(clips: Path) -> Iterator[str]:
    """Address of a local HTTP server that serves the clips."""
    handler = functools.partial(_Quiet, directory=str(clips))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.fixture(scope="session")
def hanging() -> Iterator[str]:
    """URL of a video whose server takes the request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/never.mp4"


@pytest.fixture
def environment() -> dict[str, str]:
    """Environment in which a subprocess finds the packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
