"""A local server that stands for the hub: the client and its cache are the real ones."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.paths import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1_000_000
"""Bytes of files that a broken connection cuts."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A repository with a tag `v1`."""

    files: Mapping[str, bytes]
    gated: bool = False


@dataclass
class Traffic:
    """What the server was asked for, and how it behaves."""

    asked: Counter[str] = field(default_factory=Counter)
    """File -> times that its content was asked for."""
    starts: list[int] = field(default_factory=list)
    """Byte from which each large file was asked for."""
    cuts: int = 1
    """Times that the connection breaks in the middle of a large file."""
    down: bool = False
    """Whether, after such a break, the server is down."""


def stored(folder: Path, **others: bytes) -> Stored:
    """The files of a folder."""
    return Stored(files={f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()} | others)


class Hub(ThreadingHTTPServer):
    """Repositories by their path: `maker/tiny` for a model, `datasets/maker/questions` for a dataset."""

    def __init__(self, repositories: Mapping[str, Stored]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.traffic = Traffic()

    def environment(self, cache: Path) -> dict[str, str]:
        """Environment of a process that takes this server for the hub."""
        known = {"HF_ENDPOINT": f"http://127.0.0.1:{self.server_port}", "HF_HUB_CACHE": str(cache),
                 "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": str(ROOT)}  # fmt: skip
        return {**os.environ, **known}


@contextmanager
def serving(repositories: Mapping[str, Stored]) -> Iterator[Hub]:
    """Run a server."""
    server = Hub(repositories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        found = re.fullmatch(r"/api/(models|datasets)/([\w.-]+/[\w.-]+)(?:/(revision|tree)/(\w+))?", path)
        if not found:
            self._file(body=True)
            return
        kind, id, what, revision = found.groups()
        repository = self._repository(id if kind == "models" else f"datasets/{id}")
        if repository is None:
            return
        if revision not in (None, "main", "v1", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif what == "tree":
            tree = [{"type": "file", "path": n, "size": len(d), "oid": "0"} for n, d in repository.files.items()]
            self._send(json.dumps(tree).encode())
        else:
            sizes = "blobs" in query
            files = [{"rfilename": n, **({"size": len(d)} if sizes else {})} for n, d in repository.files.items()]
            about = {"id": id, "sha": COMMIT, "siblings": files, "gated": "manual" if repository.gated else False}
            self._send(json.dumps(about).encode())

    def do_HEAD(self) -> None:
        self._file(body=False)

    def _file(self, *, body: bool) -> None:
        found = re.fullmatch(r"/((?:datasets/)?[\w.-]+/[\w.-]+)/resolve/\w+/(.+)", self.path.partition("?")[0])
        repository = self._repository(found[1] if found else "")
        if found is None or repository is None:
            return
        if repository.gated:
            self._refuse(403, "GatedRepo")
        elif (data := repository.files.get(found[2])) is None:
            self._refuse(404, "EntryNotFound")
        else:
            self._serve(found[2], data, body=body)

    def _serve(self, name: str, data: bytes, *, body: bool) -> None:
        traffic, asked = self.server.traffic, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        traffic.asked[name] += body
        if body and start and traffic.down:
            self._refuse(503, "")
            return
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            rest = data[start:]
            if len(data) > LARGE:
                traffic.starts.append(start)
                if traffic.cuts > 0:
                    traffic.cuts -= 1
                    rest = rest[: len(rest) // 2]
            self.wfile.write(rest)
            self.close_connection = True

    def _repository(self, name: str) -> Stored | None:
        """A repository; the client is told where there is none."""
        if name not in self.server.repositories:
            self._refuse(404, "RepoNotFound")
        return self.server.repositories.get(name)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
