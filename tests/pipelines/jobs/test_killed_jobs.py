"""Jobs on a real local Ray whose workers or drivers die."""

from __future__ import annotations

import functools
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.cluster import Cluster
from tests.support.rows import rows_of

BOMB = """
import os
from connectors.mlp import MeanMLP

class Bomb(MeanMLP):
    def forward(self, patches, seconds):
        last = float(seconds.max())
        if last > 5:
            os._exit(42)
        if last > 2.5:
            raise RuntimeError("out of memory")
        return super().forward(patches, seconds)
"""


def test_clips_that_kill_or_fail_the_model_fail_alone(
    tmp_path: Path, clips: Path, model: str, write_clip: Callable[..., Path]
) -> None:
    """With a connector from outside the tree, on a cluster that is joined."""
    (tmp_path / "bomb.py").write_text(BOMB)
    write_clip(clips / "kills.mp4", num_frames=48)
    write_clip(clips / "raises.mp4", num_frames=30)
    try:
        with Cluster(1, num_cpus=4) as cluster:
            running = cluster.popen(
                sys.executable, "-m", "pipelines.cli.main", "caption", clips, "-o", "out", "--model", model,
                "--connector", "bomb:Bomb", "--max-new-tokens", 4, "--address", cluster.address,
                cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            printed = running.communicate(timeout=600)[0]
            assert running.returncode == 0, printed
    finally:
        (clips / "kills.mp4").unlink()
        (clips / "raises.mp4").unlink()
    by_name = {Path(r["video"]).name: r for r in rows_of(tmp_path / "out").values()}
    assert by_name.pop("kills.mp4")["status"] == "worker_died"
    assert by_name.pop("raises.mp4")["error"] == "RuntimeError: out of memory"
    assert [r["status"] for r in by_name.values()] == ["ok"] * 8


def start(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.cli.main", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_rows(output: Path, number: int, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    journal = output / "_journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < number:
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Gate(http.server.SimpleHTTPRequestHandler):
    """Serves files, but answers nothing until the gate is opened."""

    opened = threading.Event()

    def do_GET(self) -> None:
        self.opened.wait()
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def gated(clips: Path) -> Iterator[str]:
    """URL of a video that arrives once `Gate.opened` is set: until then no job that asks for it can finish."""
    Gate.opened.clear()
    handler = functools.partial(Gate, directory=str(clips))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.daemon_threads = True
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/clip0.mp4"
        Gate.opened.set()
        httpd.shutdown()


def test_killed_workers_and_killed_drivers_lose_nothing(
    tmp_path: Path, clips: Path, model: str, environment: dict[str, str], gated: str
) -> None:
    rows = [{"id": f"{i}.{q}", "video": str(clips / f"clip{i % 8}.mp4"), "end": 1 + i / 1000, "question": f"{q}?"}
            for i in range(60) for q in range(2)]  # fmt: skip
    rows.insert(20, {"id": "gated", "video": gated, "question": "What?"})
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    command = ("answer", tmp_path / "m.jsonl", "-o", tmp_path / "out", "--model", model, "--max-new-tokens", 16,
               "--clips-per-batch", 2, "--num-decoders", 2, "--decode-timeout", 600,
               "--executor", "ray_actors")  # fmt: skip
    for number in (10, 40):  # the driver, twice
        driver = start(environment, *command)
        wait_for_rows(tmp_path / "out", number, driver)
        left = workers(driver)
        driver.kill()
        driver.communicate()
        assert not psutil.wait_procs(left, timeout=120)[1]
    driver = start(environment, *command)
    wait_for_rows(tmp_path / "out", 60, driver)
    for victim in workers(driver):  # one of each kind
        victim.kill()
    wait_for_rows(tmp_path / "out", 90, driver)
    driver.send_signal(signal.SIGINT)
    printed = driver.communicate(timeout=600)[0]
    assert driver.returncode == 130, printed
    assert "run the same command to go on" in printed
    assert "Traceback" not in printed
    Gate.opened.set()
    driver = start(environment, *command)
    printed = driver.communicate(timeout=600)[0]
    assert driver.returncode == 0, printed
    made = rows_of(tmp_path / "out")
    assert made.keys() == {r["id"] for r in rows}
    assert {r["status"] for r in made.values()} == {"ok"}


def workers(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """A decoding actor, its child, and a model actor of a job."""
    names = ("ray::Decode", "ray::EncodeAnswer", "pipelines.stages.decoding.worker")
    running = {p: " ".join(p.cmdline()) for p in psutil.Process(driver.pid).children(recursive=True)}
    return [next(p for p, command in running.items() if name in command) for name in names]
