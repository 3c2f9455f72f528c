"""Digests of videos, which decide what the cache of features finds again."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from videollm.video.content import content_digest


class _Undated(http.server.SimpleHTTPRequestHandler):
    """Says nothing of a file that changes with its content."""

    def send_header(self, name: str, value: str) -> None:
        if name != "Last-Modified":
            super().send_header(name, value)

    def log_message(self, *_: Any) -> None:
        pass


def test_content_decides(tmp_path: Path, clips: Path, server: str) -> None:
    video, again = clips / "clip0.mp4", tmp_path / "again.mp4"
    again.write_bytes(video.read_bytes())
    assert content_digest(str(video)) == content_digest(str(again)) == content_digest(f"file://{again}")
    assert content_digest(str(video)) != content_digest(str(clips / "clip1.mp4"))
    assert content_digest(f"{server}/clip0.mp4") == content_digest(f"{server}/clip0.mp4")
    assert content_digest(f"{server}/clip0.mp4") != content_digest(f"{server}/clip1.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile again.mp4\n")
    assert content_digest(str(tmp_path / "list.mp4")) is None

    images = tmp_path / "images"
    images.mkdir()
    for i in range(2):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(images / f"{i}.png")
    before = content_digest(str(images))
    assert content_digest(str(images)) == before
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(images / "1.png")
    assert content_digest(str(images)) != before

    handler = functools.partial(_Undated, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_port}/again.mp4"
        first = content_digest(url)
        data = bytearray(again.read_bytes())
        data[-1] ^= 1
        again.write_bytes(data)
        assert content_digest(url) != first
        httpd.shutdown()
