"""Work on whole videos in which one step follows from another: what is ready to be done, and what is waited for."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count

from pipelines.jobs.work import Work
from pipelines.requests.types import ClipTask, JobRequest
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Finished, Item
from videollm.errors import Status
from videollm.models.protocol import ModelInfo

Then = Callable[[Finished], Iterable[ResultRow]]
"""Takes the end of a task, adds the tasks that follow from it, and returns the rows to keep."""


class Stepwise(Work):
    """Videos one after the other: the next one is begun where nothing of those before is ready to be done.

    The executor takes tasks in threads of its own while results come in, so all state is held under one lock.
    """

    def __init__(self, num_videos: int, model: ModelInfo) -> None:
        self.model = model
        self._lock = threading.RLock()
        self._numbers = count()
        self._ready: deque[ClipTask] = deque()
        self._then: dict[str, Then] = {}
        """By key, of tasks that have not ended."""
        self._num_ended = 0
        self._num_videos_left = num_videos
        self._rows: list[ResultRow] = []
        """That came of no task's end."""

    @abstractmethod
    def begin(self) -> Iterable[ResultRow] | None:
        """Begin the next video: add its first tasks, and return rows that take none; None after the last video."""

    def failed(self, request: JobRequest, status: Status, error: str) -> ResultRow:
        """Make the row of a request that no task answers."""
        task = ClipTask(clip=request.clip, requests=(request,))
        return Item(task=task, model=self.model.name, connector=self.model.connector).failed(request, status, error)

    def computed(self, request: JobRequest, answer: str) -> ResultRow:
        """Make the row of a request whose answer follows from those of others."""
        return replace(self.failed(request, Status.OK, ""), error=None, answer=answer)

    def add(self, task: ClipTask, then: Then) -> None:
        """Add a task to those that are ready."""
        key = str(next(self._numbers))
        self._then[key] = then
        self._ready.append(replace(task, key=key))

    @property
    def num_tasks(self) -> int:
        """Tasks that have ended or are known, and one for each video that is not begun."""
        return self._num_ended + len(self._then) + self._num_videos_left

    def tasks(self) -> Iterator[ClipTask | None]:
        """Yield what is ready, see `Work.tasks`."""
        while True:
            with self._lock:
                while not self._ready and (made := self.begin()) is not None:
                    self._num_videos_left -= 1
                    self._rows += made
                if not self._ready and not self._then:
                    return
                task = self._ready.popleft() if self._ready else None
            yield task

    def take(self, finished: Finished | None) -> Sequence[ResultRow]:
        """Take the end of a task, see `Work.take`."""
        with self._lock:
            rows, self._rows = self._rows, []
            if finished is not None:
                self._num_ended += 1
                rows += self._then.pop(finished.key)(finished)
            return rows
