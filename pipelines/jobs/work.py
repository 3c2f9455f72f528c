"""The work of a job: tasks for the executor, and what becomes of their results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from pipelines.jobs.estimate import dry_run
from pipelines.jobs.plan import Plan
from pipelines.requests.types import ClipTask
from pipelines.results.journal import Output
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Finished


class Work(ABC):
    """Tasks of a job, of which some may depend on the results of others."""

    @property
    @abstractmethod
    def num_tasks(self) -> int:
        """Tasks in all, as far as they are known."""

    @abstractmethod
    def tasks(self) -> Iterator[ClipTask | None]:
        """Yield the tasks, in threads of the executor; None where what comes next depends on results."""

    @abstractmethod
    def take(self, finished: Finished | None) -> Sequence[ResultRow]:
        """Take the end of a task, and return the rows that are to be kept; None asks for rows that took no task."""


class Method(ABC):
    """How a job goes about its requests."""

    def check(self, plan: Plan) -> None:  # noqa: B027 (most take any requests)
        """Check the requests, before anything is written.

        Raises:
            UserError: they cannot be gone about like this.
        """

    @abstractmethod
    def work(self, plan: Plan, output: Output) -> Work:
        """Lay out what is left of a job, given its output."""

    @abstractmethod
    def dry_run(self, plan: Plan) -> None:
        """Say what the job would take, and write nothing."""


class ByClip(Method):
    """Every clip is decoded and answered as a whole."""

    def work(self, plan: Plan, output: Output) -> Work:
        """Lay out a task for each clip."""
        return _Clips(plan)

    def dry_run(self, plan: Plan) -> None:
        """Print an estimate."""
        dry_run(plan)


class _Clips(Work):
    """A task for each clip, whose rows are kept as they are."""

    def __init__(self, plan: Plan) -> None:
        self._tasks = plan.tasks

    @property
    def num_tasks(self) -> int:
        """Number of clips."""
        return len(self._tasks)

    def tasks(self) -> Iterator[ClipTask | None]:
        """Yield the clips."""
        return iter(self._tasks)

    def take(self, finished: Finished | None) -> Sequence[ResultRow]:
        """Return the rows of a clip."""
        return () if finished is None else finished.rows
