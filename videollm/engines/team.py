"""The processes beside this one that hold parts of an LLM: started here, watched, and ended with the engine.

Each has a thread here. The kernel ties a process's life to the thread that started it, so the model may be loaded in
any thread of a program; and the thread reads what the process says, the end of which is the end of the process.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from videollm.errors import EngineLost, UserError

PEER: Final = "videollm.checkpoints.peer"
"""What a process runs."""
LOADED: Final = "loaded"
"""What a process says when it has its part; anything else that it says is why it ends."""
REASON_SECONDS: Final = 2.0
"""How long a failed call waits for word of a process that ended: that is then the reason."""
STUCK_SECONDS: Final = 30.0
"""How long a call may still go on after a process ended. A GPU that waits for it does so for ever."""
END_SECONDS: Final = 5.0
"""Time for a process to end by itself."""
_ROOT: Final = str(Path(__file__).resolve().parents[2])


class Team:
    """Starts a process for each task, and says where they meet.

    Args:
        tasks: for each process what `videollm.checkpoints.peer` takes; it can be pickled.
    """

    def __init__(self, tasks: Sequence[Any]) -> None:
        self.size = len(tasks) + 1
        self.folder = Path(mkdtemp(prefix="videollm-team-"))
        self._changed = threading.Condition()
        self._one_call = threading.Lock()
        self._problem: str | None = None
        self._loaded: set[int] = set()
        self._calling = self._closing = False
        self._children: dict[int, tuple[subprocess.Popen[bytes], Connection]] = {}
        for rank, task in enumerate(tasks, start=1):
            data = pickle.dumps((rank, self.size, self.meeting, task))
            threading.Thread(target=self._watch, args=(rank, data), name=f"{PEER} {rank}", daemon=True).start()

    @property
    def meeting(self) -> Path:
        """The file by which the processes find each other."""
        return self.folder / "meeting"

    def wait_until_loaded(self) -> None:
        """Wait until every process has its part of the LLM.

        Raises:
            UserError: one has not, and says why.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._problem or len(self._loaded) == self.size - 1)
        if self._problem:
            self.close()
            raise UserError(f"The LLM does not load on {self.size} devices: {self._problem}")

    @contextmanager
    def call(self, message: Any) -> Iterator[None]:
        """Have all processes take up a message, for as long as the block of code lasts.

        Raises:
            EngineLost: a process ended, or the block failed. Others may wait for what never comes, so all are ended.
        """
        with self._one_call:
            self._check()
            self._calling = True
            try:
                data = pickle.dumps(message, protocol=5)
                for _, pipe in self._children.values():
                    pipe.send_bytes(data)
                yield
            except BaseException as error:
                with self._changed:
                    self._changed.wait_for(lambda: self._problem, REASON_SECONDS)
                    self._problem = self._problem or f"a call failed ({type(error).__name__}: {error})"
                self._kill()
                if isinstance(error, Exception):
                    self._check(error)
                raise
            finally:
                with self._changed:
                    self._calling = False
                    self._changed.notify_all()

    def close(self) -> None:
        """End all processes."""
        self._closing = True
        children = [*self._children.values()]
        for _, pipe in children:
            with suppress(OSError):
                pipe.send_bytes(pickle.dumps(None))
        for child, _ in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)
        self._kill()
        rmtree(self.folder, ignore_errors=True)

    def _check(self, error: Exception | None = None) -> None:
        if self._problem:
            raise EngineLost(
                f"The LLM on {self.size} devices is gone: {self._problem}. Load the model again."
            ) from error

    def _kill(self) -> None:
        for child, _ in [*self._children.values()]:
            child.kill()

    def _watch(self, rank: int, task: bytes) -> None:
        """Start a process, take note of what it says, and of its end."""
        reason = ""
        try:
            child, pipe = self._start(rank)
            with suppress(EOFError, OSError):
                pipe.send_bytes(task)
                while True:
                    said = pickle.loads(pipe.recv_bytes())
                    if said != LOADED:
                        reason = said
                        continue
                    with self._changed:
                        self._loaded.add(rank)
                        self._changed.notify_all()
            code = child.wait()
            reason = reason or (f"signal {-code}" if code < 0 else f"exit code {code}")
        except Exception as error:  # no process could be started
            reason = f"{type(error).__name__}: {error}"
        if self._closing:
            return
        with self._changed:
            self._problem = self._problem or f"the process of device {rank} ended ({reason})"
            self._changed.notify_all()
        self._kill()  # the others wait for this one
        with self._changed:
            if self._changed.wait_for(lambda: not self._calling, STUCK_SECONDS):
                return
        print(f"videollm: {self._problem}, and this one hangs without it. It ends, too.", file=sys.stderr, flush=True)
        os._exit(1)

    def _start(self, rank: int) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        path = os.pathsep.join([_ROOT, *filter(None, sys.path)])
        child = subprocess.Popen(
            [sys.executable, "-m", PEER, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path},
        )
        theirs.close()
        self._children[rank] = child, ours
        if self._closing:  # before it was there
            child.kill()
        return child, ours
