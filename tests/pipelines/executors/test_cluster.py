"""Jobs on clusters of several nodes that lose nodes, gain them, or have none yet."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support import namespaces
from tests.support.cluster import Cluster
from tests.support.driver import Driver, decoders, has_decoded, write_manifest

pytestmark = pytest.mark.slow

EXECUTORS: Final = ("ray_actors", "ray_data")
NUM_ROWS: Final = 400
FULL: Final = ("--num-llms", 2, "--num-decoders", 4)
"""Takes all of three nodes with two CPUs each."""

Start = Callable[..., Driver]


@pytest.fixture(params=EXECUTORS)
def start(request: pytest.FixtureRequest, tmp_path: Path, clips: Path) -> Iterator[Start]:
    """Starts a job of `number` good clips into `out` on each of the executors; all jobs end with the test."""
    running = []

    def start(cluster: Cluster, *options: object, number: int = NUM_ROWS, manifest: Path | None = None) -> Driver:
        requests = manifest or write_manifest(tmp_path / "requests.jsonl", sorted(clips.glob("*.mp4")), number)
        driver = Driver(cluster, requests, tmp_path / "out", "--executor", request.param, *options)
        running.append(driver)
        return driver

    yield start
    for driver in running:
        driver.close()


def check_rows(driver: Driver, number: int = NUM_ROWS) -> None:
    """Each of the requests has one row, and that is ok."""
    rows = driver.rows()
    assert rows.keys() == {str(i) for i in range(number)}
    assert Counter(r["status"] for r in rows.values()) == {"ok": number}


def test_a_node_lost_in_a_full_cluster(start: Start) -> None:
    with Cluster(num_nodes=3) as cluster:
        driver = start(cluster, *FULL)
        driver.wait_for_rows(48)
        cluster.kill_node(cluster.nodes[-1])
        driver.finish()
        check_rows(driver)


def test_a_node_that_joins_is_used(start: Start) -> None:
    with Cluster(num_nodes=2) as cluster:
        driver = start(cluster, number=10_000)
        driver.wait_for_rows(1)
        patience = max(30.0, 2 * driver.seconds())  # as long as this machine, busy as it is, needs to start workers
        (node,) = cluster.add_nodes(1)
        driver.wait_until(lambda: has_decoded(node), "clip decoded on the new node", patience=patience)
        driver.stop()
        rows = driver.rows()
        assert Counter(r["status"] for r in rows.values()) == {"ok": len(rows)}


def test_a_cluster_without_a_cpu_is_waited_for(start: Start) -> None:
    with Cluster(num_nodes=1, num_cpus=0) as cluster:
        driver = start(cluster, *FULL)
        driver.wait_until(lambda: "Waiting for" in driver.printed(), "word of what the job waits for")
        assert driver.num_rows() == 0
        cluster.add_nodes(1)
        driver.wait_for_rows(1)
        cluster.add_nodes(1)
        driver.finish()
        check_rows(driver)


def test_a_gpu_is_waited_for(start: Start) -> None:
    with Cluster(num_nodes=1) as cluster:
        driver = start(cluster, "--gpus-per-llm", 1, "--device", "cpu", number=40)
        driver.wait_until(lambda: "1 GPU" in driver.printed(), "word of the GPU that the job waits for")
        assert driver.num_rows() == 0
        cluster.add_nodes(1, num_gpus=1)
        driver.finish()
        check_rows(driver, 40)


@pytest.mark.skipif(namespaces.why_not() is not None, reason=f"no namespaces: {namespaces.why_not()}")
def test_autoscaling_from_zero(start: Start) -> None:
    with Cluster(num_nodes=0) as cluster:
        cluster.start_autoscaling(num_cpus=4, interval_seconds=15)
        driver = start(cluster)
        driver.finish()
        assert "Waiting for" in driver.printed()
        check_rows(driver)


def test_a_driver_killed_and_resumed(start: Start) -> None:
    with Cluster(num_nodes=3) as cluster:
        for number in (48, 150):
            driver = start(cluster, *FULL)
            driver.wait_for_rows(number)
            driver.kill()
        driver = start(cluster, *FULL)
        driver.finish()
        check_rows(driver)


BOMB = """
import os
from connectors.mlp import MeanMLP

class Bomb(MeanMLP):
    def forward(self, patches, seconds):
        if float(seconds.max()) > 5:
            os._exit(42)
        return super().forward(patches, seconds)
"""


def test_poison_and_hangs_end_alone(
    tmp_path: Path, start: Start, clips: Path, write_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bomb.py").write_text(BOMB)
    monkeypatch.syspath_prepend(tmp_path)
    good = (clips / "clip0.mp4").read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "truncated.mp4").write_bytes(good[: len(good) // 2])
    with Cluster(num_nodes=3) as cluster:
        port = cluster.free_port()
        cluster.popen(sys.executable, "-m", "tests.support.gate", clips, port, tmp_path / "never")
        bad = {
            "empty": (tmp_path / "empty.mp4", {"no_video", "decode_error"}),
            "truncated": (tmp_path / "truncated.mp4", {"no_video", "decode_error"}),
            "missing": (tmp_path / "missing.mp4", {"not_found"}),
            "hang": (f"http://{cluster.nodes[0].ip}:{port}/clip0.mp4", {"timeout", "fetch_error"}),
            "kills": (write_clip(tmp_path / "kills.mp4", num_frames=48), {"worker_died"}),
        }
        manifest = write_manifest(tmp_path / "requests.jsonl", sorted(clips.glob("*.mp4")), 100)
        lines = manifest.read_text().splitlines()
        for at, (id, (video, _)) in enumerate(bad.items()):
            lines.insert(20 * at, json.dumps({"id": id, "video": str(video), "question": "What?"}))
        manifest.write_text("\n".join(lines) + "\n")
        driver = start(cluster, "--connector", "bomb:Bomb", "--decode-timeout", 10, manifest=manifest)
        driver.finish()
        rows = driver.rows()
        for id, (_, expected) in bad.items():
            assert rows.pop(id)["status"] in expected, id
        assert Counter(r["status"] for r in rows.values()) == {"ok": 100}


def test_many_decoders_dying_at_once_are_one_incident(start: Start) -> None:
    with Cluster(num_nodes=1) as cluster:
        (node,) = cluster.add_nodes(1, num_cpus=24)
        driver = start(cluster, "--num-llms", 1, "--num-decoders", 23)
        driver.wait_until(lambda: len(decoders(node)) > 20, "more than 20 decoders on one node")
        cluster.kill_node(node)
        driver.finish()
        check_rows(driver)


def test_a_clip_is_not_to_blame_for_its_nodes(tmp_path: Path, start: Start, clips: Path) -> None:
    """Three times the node goes on which a clip is decoded: preempted, not guilty."""
    with Cluster(num_nodes=1, num_cpus=0) as cluster, (tmp_path / "asked").open("w") as asked:
        port = cluster.free_port()
        cluster.popen(sys.executable, "-m", "tests.support.gate", clips, port, tmp_path / "opened", stdout=asked)
        manifest = write_manifest(tmp_path / "requests.jsonl", sorted(clips.glob("*.mp4")), 60)
        held = {"id": "60", "video": f"http://{cluster.nodes[0].ip}:{port}/clip0.mp4", "question": "What?"}
        manifest.write_text(json.dumps(held) + "\n" + manifest.read_text())
        driver = start(cluster, "--decode-timeout", 600, manifest=manifest)
        for preemption in range(3):
            (node,) = cluster.add_nodes(1, num_cpus=4)
            before = (tmp_path / "asked").stat().st_size
            driver.wait_until(lambda b=before: (tmp_path / "asked").stat().st_size > b, f"try {preemption}")
            cluster.kill_node(node)
        (tmp_path / "opened").touch()
        cluster.add_nodes(1, num_cpus=4)
        driver.finish()
        check_rows(driver, 61)
