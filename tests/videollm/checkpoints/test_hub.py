"""Models of the hub: a local server stands for it, the client and its cache are the real ones."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import videollm
from tests.support.paths import ROOT

MODEL = Path(videollm.__file__).parent / "assets" / "tiny-stc"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import sys, videollm
model = videollm.load(sys.argv[1])
print(model.revision, sum(p.numel() for p in model.parameters()))
"""
FIND = """
import sys
from videollm.checkpoints.hub import find_model
try:
    print(find_model(sys.argv[1]).name)
except ValueError as error:
    print("refused:", error)
"""


class Hub(ThreadingHTTPServer):
    """One repository, `maker/tiny` with a tag `v1`; large files are cut off the first time they are asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {f.name: f.read_bytes() for f in MODEL.iterdir() if f.is_file()}
        self.asked: Counter[str] = Counter()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        found = re.fullmatch(r"/api/models/maker/tiny/revision/(\w+)", self.path.partition("?")[0])
        if self.path.startswith(f"/api/models/maker/tiny/tree/{COMMIT}"):
            tree = [{"type": "file", "path": n, "size": len(d), "oid": "0"} for n, d in self.server.files.items()]
            self._send(json.dumps(tree).encode())
        elif found and found[1] in ("main", "v1", COMMIT):
            files = [{"rfilename": name} for name in self.server.files]
            self._send(json.dumps({"id": "maker/tiny", "sha": COMMIT, "siblings": files}).encode())
        else:
            self._file(body=True)

    def do_HEAD(self) -> None:
        self._file(body=False)

    def _file(self, *, body: bool) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        data = self.server.files.get(name)
        if data is None or not self.path.startswith("/maker/tiny/resolve/"):
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            return
        self.server.asked[name] += body
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            cut = len(data) > 1_000_000 and self.server.asked[name] == 1
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = True

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


def run(code: str, name: str, hub: Hub, cache: Path, **environment: str) -> str:
    known = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_XET": "1",
    }
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True, cwd=ROOT,
                          env={**os.environ, **known, **environment, "PYTHONPATH": str(ROOT)})  # fmt: skip
    return done.stdout.strip()


def test_a_model_is_fetched_at_a_revision_though_the_connection_breaks(hub: Hub, cache: Path) -> None:
    assert run(FIND, "maker/tiny@v1", hub, cache) == COMMIT
    assert hub.asked["model.safetensors"] == 2
    asked = dict(hub.asked)
    assert run(FIND, "maker/tiny@v1", hub, cache) == COMMIT
    assert dict(hub.asked) == asked  # all of it is in the cache


def test_offline_the_cache_is_enough(hub: Hub, cache: Path) -> None:
    parameters, asked = sum(p.numel() for p in videollm.load(MODEL).parameters()), dict(hub.asked)
    assert run(LOAD, "maker/tiny@v1", hub, cache, HF_HUB_OFFLINE="1") == f"{COMMIT} {parameters}"
    assert dict(hub.asked) == asked


@pytest.mark.parametrize(("name", "offline"), [("maker/other", "0"), ("maker/tiny@v2", "1")])
def test_what_is_not_there_is_one_clear_error(hub: Hub, cache: Path, name: str, offline: str) -> None:
    told = run(FIND, name, hub, cache, HF_HUB_OFFLINE=offline)
    assert told.startswith(f"refused: Model {name!r} is no folder here, and the hub did not give it: "), told
    assert "\n" not in told
