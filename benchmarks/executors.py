"""The executors side by side: speed, first row, memory and network, on one machine and on three nodes, and survival.

python -m benchmarks.executors            # 1,000 clips
python -m benchmarks.executors --quick    # 200 clips
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import tyro

from tests.support import namespaces
from tests.support.cluster import Cluster
from tests.support.driver import Driver, has_decoded, rows_once, write_manifest

FULL: Final = ("--num-llms", 2, "--num-decoders", 4)
"""Takes all of three nodes with two CPUs each."""
NUM_FRAMES: Final = 32
"""Frames of a clip: 221 kB of them are an object of their own; Ray sends less than 100 kB inside its messages."""
Column = dict[str, str]
"""Name of a figure -> figure."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Print a markdown table of what executors do with the same job."""

    local: tuple[str, ...] = ("local", "ray_actors", "ray_data")
    """Executors to run on one machine."""
    cluster: tuple[str, ...] = ("ray_actors", "ray_data")
    """Executors to run on three nodes of two CPUs (network namespaces)."""
    num_clips: int = 1000
    """Clips of the speed runs."""
    num_survival_rows: int = 400
    """Rows of the runs in which nodes and drivers are lost."""
    quick: bool = False
    """200 clips, and 150 rows."""


def main(options: Options) -> None:
    num_clips, num_rows = (200, 150) if options.quick else (options.num_clips, options.num_survival_rows)
    if options.cluster and (reason := namespaces.why_not()):
        raise SystemExit(f"There can be no cluster here: {reason}. Leave it out with --cluster and no name.")
    folder = Path(tempfile.mkdtemp(prefix="executors-"))
    try:
        videos = make_videos(folder / "clips")
        columns: dict[str, Column] = {}
        for name in options.local:
            columns[f"{name}, one machine"] = on_one_machine(name, folder, videos, num_clips)
        for name in options.cluster:
            columns[f"{name}, three nodes"] = on_three_nodes(name, folder, videos, num_clips, num_rows)
    finally:
        shutil.rmtree(folder)
    print(table(columns))


def make_videos(folder: Path) -> list[Path]:
    command = [sys.executable, "-m", "pipelines.cli.main", "make-clips", "-o", str(folder), "--num-clips", "40"]
    subprocess.run([*command, "--seconds", "2.5"], check=True, stdout=subprocess.DEVNULL)
    return sorted(folder.glob("*.mp4"))


def on_one_machine(name: str, folder: Path, videos: list[Path], num_clips: int) -> Column:
    manifest = write_manifest(folder / "requests.jsonl", videos, num_clips)
    return speed(Driver(None, manifest, folder / name, "--executor", name, "--num-frames", NUM_FRAMES), None, num_clips)


def on_three_nodes(name: str, folder: Path, videos: list[Path], num_clips: int, num_rows: int) -> Column:
    def start(cluster: Cluster, number: int, *options: object, output: str) -> Driver:
        manifest = write_manifest(folder / "requests.jsonl", videos, number)
        return Driver(
            cluster, manifest, folder / name / output, "--executor", name, "--num-frames", NUM_FRAMES, *options
        )

    (folder / name).mkdir(exist_ok=True)
    with Cluster(num_nodes=3) as cluster:
        column = speed(start(cluster, num_clips, *FULL, output="speed"), cluster, num_clips)
    column["node lost"] = told(lambda: lose_node(start, num_rows))
    column["node joined"] = told(lambda: join_node(start))
    column["driver killed, resumed"] = told(lambda: kill_driver(start, num_rows))
    return column


def speed(driver: Driver, cluster: Cluster | None, num_clips: int) -> Column:
    """Figures of a job that runs undisturbed."""
    first_at, last_at, num_first, num_last, sent_before, peak = 0.0, 0.0, 0, 0, 0, 0
    while driver.is_running:
        number = driver.num_rows()
        if number > num_last:
            num_last, last_at = number, driver.seconds()
        if number and not num_first:
            num_first, first_at, sent_before = number, driver.seconds(), num_bytes_sent(cluster)
        try:
            peak = max(peak, driver.process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    driver.finish()
    wall, sent = driver.seconds(), num_bytes_sent(cluster) - sent_before
    rows = rows_once(driver.output).values()
    driver.close()
    frames = sum(len(r["frame_indices"]) for r in rows)
    frame_bytes = next(3 * r["frame_height"] * r["frame_width"] for r in rows if r["status"] == "ok")
    running = max(last_at - first_at, 1e-9)
    column = {
        "rows, once each": statuses(rows, num_clips),
        "clips/s, start and end included": f"{num_clips / wall:.1f}",
        "clips/s, from the first row on": f"{(num_last - num_first) / running:.1f}",
        "first row after": f"{first_at:.1f} s",
        "driver, most memory": f"{peak / 1e6:,.0f} MB",
    }
    if cluster is not None:
        column["sent between nodes"] = f"{sent / 1e6:,.1f} MB, {sent / running / frame_bytes:,.0f} frames/s"
        column["share of the frames' bytes"] = f"{sent / (frames * frame_bytes):.0%}"
    return column


def num_bytes_sent(cluster: Cluster | None) -> int:
    """What all nodes have put on the network so far."""
    return 0 if cluster is None else sum(node.num_bytes_sent() for node in cluster.nodes)


def lose_node(start: Callable[..., Driver], num_rows: int) -> str:
    with Cluster(num_nodes=3) as cluster:
        driver = start(cluster, num_rows, *FULL, output="lost")
        driver.wait_for_rows(num_rows // 8)
        cluster.kill_node(cluster.nodes[-1])
        lost_at = seen_at = driver.seconds()
        longest, seen = 0.0, driver.num_rows()
        while driver.is_running and driver.seconds() - seen_at < 300:
            if (number := driver.num_rows()) != seen:
                longest, seen, seen_at = max(longest, driver.seconds() - seen_at), number, driver.seconds()
            time.sleep(0.05)
        took = driver.seconds() - lost_at
        driver.finish(patience=1.0)
        rows = rows_once(driver.output).values()
        driver.close()
    return f"{statuses(rows, num_rows)}; ended after {took:.0f} s, at most {longest:.0f} s without a row"


def join_node(start: Callable[..., Driver]) -> str:
    with Cluster(num_nodes=2) as cluster:
        driver = start(cluster, 10_000, output="joined")
        driver.wait_for_rows(8)
        (node,) = cluster.add_nodes(1)
        began = driver.seconds()
        driver.wait_until(lambda: has_decoded(node), "clip decoded on the new node")
        took = driver.seconds() - began
        driver.close()
    return f"decodes after {took:.0f} s"


def kill_driver(start: Callable[..., Driver], num_rows: int) -> str:
    with Cluster(num_nodes=3) as cluster:
        for number in (num_rows // 8, num_rows // 2):
            driver = start(cluster, num_rows, *FULL, output="killed")
            driver.wait_for_rows(number)
            driver.close()
        driver = start(cluster, num_rows, *FULL, output="killed")
        driver.finish()
        rows = rows_once(driver.output).values()
        driver.close()
    return f"{statuses(rows, num_rows)} after two kills"


def told(scenario: Callable[[], str]) -> str:
    """What came of a scenario; one that fails is a result."""
    try:
        return scenario()
    except AssertionError as error:
        return f"failed: {str(error).splitlines()[0]}"


def statuses(rows: Iterable[dict[str, Any]], expected: int) -> str:
    counts = Counter(r["status"] for r in rows)
    return f"{counts.total():,} of {expected:,}: {', '.join(f'{n:,} {status}' for status, n in counts.most_common())}"


def table(columns: dict[str, Column]) -> str:
    """Markdown: a row per figure, a column per executor and place."""
    figures = dict.fromkeys(figure for column in columns.values() for figure in column)
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[figure, *(column.get(figure, "") for column in columns.values())] for figure in figures]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main(tyro.cli(Options))
