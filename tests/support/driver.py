"""A job under way: its driver, what it prints, and its rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from pipelines.results.journal import read_rows
from tests.support.cluster import Cluster, Node
from tests.support.paths import ROOT

DECODER = "pipelines.stages.decoding.worker"
"""The process that decodes, whatever executor has started it."""
BYTES_OF_SOME_CLIPS = 1_000_000
"""Frames of about 20 clips as the embedded models see them: more than a decoder writes that has decoded nothing."""
PATIENCE = 300.0
"""Seconds after which nothing more is to be expected, on a machine that is busy with other things."""


class Driver:
    """`videollm answer` in a process on a cluster's head, or in one on this machine."""

    def __init__(self, cluster: Cluster | None, manifest: Path, output: Path, *options: object) -> None:
        self.cluster, self.output = cluster, output
        self._began = time.monotonic()
        self._printed = tempfile.NamedTemporaryFile("w+")  # noqa: SIM115 (a pipe would fill)
        command = [sys.executable, "-m", "pipelines.cli.main", "answer", manifest, "-o", output, "--max-new-tokens", 4]
        printed: Any = {"stdout": self._printed, "stderr": subprocess.STDOUT}
        if cluster is None:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
            arguments = [str(a) for a in (*command, *options)]
            self._started = subprocess.Popen(arguments, env=environment, text=True, **printed)
        else:
            self._started = cluster.popen(*command, "--address", cluster.address, *options, **printed)

    def close(self) -> None:
        """End the driver, if it runs, and forget what it said."""
        self.kill()
        self._printed.close()

    def seconds(self) -> float:
        """Seconds since the driver was started."""
        return time.monotonic() - self._began

    @property
    def process(self) -> psutil.Process:
        """The driver itself, not what has put it into its namespace."""
        started = psutil.Process(self._started.pid)
        entered = self.cluster is not None and self.cluster.in_namespaces
        return next(iter(started.children()), started) if entered else started

    @property
    def is_running(self) -> bool:
        """Whether the driver has not ended yet."""
        return self._started.poll() is None

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the driver, if it runs."""
        if self.is_running:
            with suppress(psutil.NoSuchProcess):
                self.process.send_signal(what)

    def num_rows(self) -> int:
        """Rows that are kept so far."""
        journal = self.output / "_journal.jsonl"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def printed(self) -> str:
        """What the driver has said so far, on stdout and stderr."""
        return Path(self._printed.name).read_text()

    def wait_until(self, happened: Callable[[], Any], what: str, *, patience: float = PATIENCE) -> None:
        """Wait for something while the job runs on."""
        deadline = time.monotonic() + patience
        while not happened():
            assert self.is_running, f"The job ended before {what}:\n{self.printed()}"
            assert time.monotonic() < deadline, f"{self.num_rows()} rows, and no {what}:\n{self.printed()}"
            time.sleep(0.02)

    def wait_for_rows(self, number: int) -> None:
        """Wait until `number` rows are kept."""
        self.wait_until(lambda: self.num_rows() >= number, f"{number} rows")

    def finish(self, patience: float = PATIENCE) -> str:
        """Wait for the end, as long as rows come, and return what was said.

        Args:
            patience: seconds without a new row after which the job counts as hung.
        """
        last, deadline = self.num_rows(), time.monotonic() + patience
        while self.is_running:
            if (number := self.num_rows()) != last:
                last, deadline = number, time.monotonic() + patience
            assert time.monotonic() < deadline, f"{last} rows, then nothing for {patience:.0f} s:\n{self.printed()}"
            time.sleep(0.05)
        assert self._started.returncode == 0, self.printed()
        return self.printed()

    def stop(self) -> str:
        """Interrupt the job as Ctrl-C does, and return what was said."""
        self.send(signal.SIGINT)
        self._started.wait(PATIENCE)
        return self.printed()

    def kill(self) -> None:
        """End the driver with -9."""
        self.send(signal.SIGKILL)
        self._started.wait()

    def rows(self) -> dict[str, dict[str, Any]]:
        """Rows by id, after making sure that the files of the output hold each of them once."""
        return rows_once(self.output)


def rows_once(output: Path) -> dict[str, dict[str, Any]]:
    """Rows of an output by id, after making sure that its files hold each once (`read_rows` would forgive more)."""
    written = [id for part in output.glob("part-*.parquet") for id in pq.read_table(part)["id"].to_pylist()]
    with suppress(FileNotFoundError):
        written += [json.loads(line)["id"] for line in (output / "_journal.jsonl").read_bytes().splitlines()]
    assert not [id for id, number in Counter(written).items() if number > 1]
    rows = {r["id"]: r for r in read_rows(output)}
    assert rows.keys() == set(written)
    return rows


def write_manifest(path: Path, videos: Sequence[Path], number: int) -> Path:
    """Requests "0", "1", ... on parts of the videos of different lengths: no two of them share a clip."""
    rows = [{"id": str(i), "video": str(videos[i % len(videos)]), "end": 1 + i / 100_000, "question": "What?"}
            for i in range(number)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def decoders(node: Node) -> list[psutil.Process]:
    """Processes on a node that decode."""
    return processes(node, DECODER)


def has_decoded(node: Node) -> bool:
    """Whether decoders on a node have given frames of some clips to their workers."""
    written = 0
    for process in decoders(node):
        with suppress(psutil.Error):
            written += process.io_counters().write_chars
    return written > BYTES_OF_SOME_CLIPS


def processes(node: Node, name: str) -> list[psutil.Process]:
    """Processes on a node whose command holds a name."""
    found = []
    for process in node.processes():
        with suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found
