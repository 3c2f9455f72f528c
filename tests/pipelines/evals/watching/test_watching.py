"""The live page of a job: over real HTTP, of real outputs."""

import http.client
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipelines.cli import main as cli
from pipelines.evals.watching.news import News
from pipelines.evals.watching.server import WatchServer
from pipelines.results import tail
from pipelines.results.tail import newest_rows
from videollm.errors import UserError


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, clips: Path, model: str) -> Path:
    """Of a job of two answers and an error."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "broken.mp4").write_bytes(b"no video")
    inputs = [str(clips / "clip0.mp4"), str(clips / "clip1.mp4"), str(folder / "broken.mp4")]
    cli.main(["caption", *inputs, "-o", str(folder / "out"), "--model", model, "--max-new-tokens", "4"])
    return folder / "out"


@contextmanager
def serving(folder: Path) -> Iterator[WatchServer]:
    with WatchServer(News(folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(
    server: WatchServer, path: str, host: str | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """A path below the token; one that starts with / is taken as it is."""
    address = urlsplit(server.url)
    assert address.port is not None
    connection = http.client.HTTPConnection("127.0.0.1", address.port)
    connection.request(
        method, path if path.startswith("/") else address.path + path, headers={"Host": host or address.netloc}
    )
    reply = connection.getresponse()
    found = reply.status, dict(reply.getheaders()), reply.read()
    connection.close()
    return found


def test_shows_rows_errors_rates_and_pictures_after_the_end(output: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    with serving(output) as server:
        status, headers, data = get(server, "news")
        news = json.loads(data)
        assert (status, news["status"]["state"], news["status"]["clips"]) == (200, "finished", 3)
        assert {Path(row["video"]).name for row in news["answers"]} == {"clip0.mp4", "clip1.mp4"}
        (error,) = news["errors"]
        assert Path(error["video"]).name == "broken.mp4"
        assert error["error"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        status, headers, data = get(server, f"picture/{news['answers'][0]['key']}")
        assert (status, headers["Content-Type"], data[:2]) == (200, "image/jpeg", b"\xff\xd8")
        assert get(server, "picture/no-such-row")[0] == 404
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_refuses_who_lacks_the_token(output: Path) -> None:
    with serving(output) as server:
        for path in ("/", "/news", "/x/news", f"/{server.token[:-1]}/news", f"/{server.token}x/news"):
            status, _, data = get(server, path)
            assert (status, server.token.encode() in data) == (403, False), path
        assert get(server, "news", host=f"evil.example:{server.server_address[1]}")[0] == 403
        assert get(server, "news", method="POST")[0] == 501
        assert get(server, "../../etc/passwd")[0] == 404
        assert server.server_address[0] == "127.0.0.1"
        assert get(server, "")[0] == 200
    with WatchServer(News(output)) as another:
        assert another.token != server.token


def test_no_output_and_taken_port_are_user_errors(output: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.json"):
        News(tmp_path)
    with WatchServer(News(output)) as server, pytest.raises(UserError, match="--port"):
        WatchServer(News(output), server.server_address[1])


def journal(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "_journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_reads_only_the_end_of_a_long_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "TAIL_BYTES", 1000)
    journal(tmp_path, [{"id": str(i), "status": "ok"} for i in range(10_000)])
    with (tmp_path / "_journal.jsonl").open("a") as file:
        file.write('{"id": "torn"')
    rows = newest_rows(tmp_path, 10, ("id", "status", "answer"))
    assert 10 <= len(rows) <= 1000 // 20
    assert [row["id"] for row in rows[:2]] == ["9999", "9998"]
    assert rows[0]["answer"] is None


def test_newest_rows_are_of_journal_and_last_shard(output: Path, tmp_path: Path) -> None:
    shutil.copy(next(output.glob("part-*.parquet")), tmp_path)
    journal(tmp_path, [{"id": "new", "status": "ok"}])
    rows = newest_rows(tmp_path, 2, ("id", "status"))
    assert rows[0]["id"] == "new"
    assert len(rows) >= 3
    assert [row["status"] for row in rows].count("ok") < len(rows)  # the error, however old in its shard
