"""A stage in a child process: an item may kill or hang the child, and its parent lives on.

Run as `python -m pipelines.executors.stage_process DESCRIPTOR PARENT` by `StageProcess`, its client.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from pipelines.executors.local import run_stage
from pipelines.stages.base import Item, StageCall, StageResult, StageSpec
from pipelines.stages.batching import trace_of
from videollm.errors import Status, UserError
from videollm.lifeline import die_with

END_SECONDS: Final = 5.0
"""How long a child that was killed, or closed its pipe, is waited for."""
_ROOT: Final = str(Path(__file__).resolve().parents[2])


class ProcessLost(Exception):  # noqa: N818 (no bug: it is caught, and becomes rows)
    """The child died or hung.

    Args:
        status: for rows, `worker_died` or `timeout`.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


class StageProcess:
    """A stage that runs in a child, which is started again after it was lost.

    Call it from one thread that lives on: the kernel ties the child's life to that thread.

    Args:
        folder: where the spec's `folder` lies on this machine; None: where the spec says.
    """

    def __init__(self, spec: StageSpec, folder: Path | None) -> None:
        self.spec, self.folder = spec, folder
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def setup(self) -> Any:
        """Start the child, and set up the stage in it.

        Returns:
            The description from the stage.
        Raises:
            UserError: the stage cannot be set up.
            ProcessLost: the child died of it.
            RuntimeError: a bug of ours, with its trace.
        """
        self.close()
        self._pipe, theirs = Pipe()
        fd = theirs.fileno()
        path = os.pathsep.join([_ROOT, *filter(None, sys.path)])
        command = [sys.executable, "-m", "pipelines.executors.stage_process", str(fd), str(os.getpid())]
        self._child = subprocess.Popen(command, pass_fds=[fd], env={**os.environ, "PYTHONPATH": path})
        theirs.close()
        described, error = self._ask((self.spec, self.folder), timeout_seconds=None)
        if error is not None:
            raise error
        return described

    def run(self, items: Sequence[Item]) -> tuple[list[StageResult], StageCall]:
        """Run the stage on items.

        Raises:
            ProcessLost: the child died, or did not answer in time and was killed.
        """
        if self._child is None:
            self.setup()
        results: tuple[list[StageResult], StageCall] = self._ask(items, timeout_seconds=self.spec.timeout_seconds)
        return results

    def close(self) -> None:
        """End the child."""
        if self._child is not None and self._pipe is not None:
            self._child.kill()
            self._pipe.close()
            self._how_it_ended()
        self._child = self._pipe = None

    def _ask(self, question: Any, *, timeout_seconds: float | None) -> Any:
        assert self._pipe is not None
        try:
            self._pipe.send_bytes(pickle.dumps(question, protocol=5))
            if not self._pipe.poll(timeout_seconds):
                self.close()
                raise ProcessLost(Status.TIMEOUT, f"{self.spec.name}: no answer after {timeout_seconds:g}s")
            return pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as lost:
            how = self._how_it_ended()
            self.close()
            raise ProcessLost(Status.WORKER_DIED, f"{self.spec.name}: worker died, {how}") from lost

    def _how_it_ended(self) -> str:
        assert self._child is not None
        try:
            code = self._child.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:  # closed its pipe, or sleeps in the kernel; it is left to die
            self._child.kill()
            return "no exit code"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def main(descriptor: int, parent: int) -> None:
    """Set a stage up and serve calls until the parent is gone."""
    die_with(parent)
    pipe = Connection(descriptor)
    began = time.perf_counter()
    try:
        spec, folder = pickle.loads(pipe.recv_bytes())
        stage = spec.build()
        described = stage.setup(folder)
    except UserError as error:
        pipe.send_bytes(pickle.dumps((None, error)))
        return
    except Exception as error:  # a bug: the parent says so
        seconds = time.perf_counter() - began
        bug = RuntimeError(f"The stage failed after {seconds:.1f} s of being set up:\n{trace_of(error)}")
        pipe.send_bytes(pickle.dumps((None, bug)))
        return
    pipe.send_bytes(pickle.dumps((described, None), protocol=5))
    while True:
        try:
            items = pickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        pipe.send_bytes(pickle.dumps(run_stage(stage, items), protocol=5))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
