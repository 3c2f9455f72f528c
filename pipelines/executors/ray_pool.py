"""A pool of Ray actors that run one stage, with the items that wait for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice, takewhile
from typing import Any, Final

import ray
from ray.exceptions import RayError

from pipelines.executors.ray_cluster import first_line
from pipelines.executors.ray_worker import StageWorker, put_folder
from pipelines.stages.base import Item, RunningStage, StageSpec
from videollm.errors import UserError

CALLS_PER_ACTOR: Final = 2
"""One that runs and one that waits, so that no worker waits for the driver."""
MAX_INCIDENTS_IN_A_ROW: Final = 20
"""Incidents with nothing finished between them, after which the job stops."""
MAX_LOADING_DEATHS: Final = 2
"""Workers that may die while they load the model, on nodes that live on, before any was set up."""
INCIDENT_SECONDS: Final = 30.0
"""Time after the first death of an incident in which its other deaths become known."""
MAX_PASSED_OVER: Final = 8
"""Times that the oldest item may wait for a worker of the node on which its payload lies."""


@dataclass(kw_only=True)
class Incident:
    """A cause of dead workers: a bad clip kills one, a lost node kills all that ran there."""

    began: float
    num_workers: int = 0


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """Evidence against an item: it was in a worker that died."""

    incident: Incident
    node: str | None
    alone: bool
    """Whether nothing else was in the worker."""


@dataclass(eq=False, kw_only=True)
class Held:
    """An item on the driver: its payload is a reference."""

    item: Item
    span: str | None = None
    """Name of the span of a video that is decoded in one go."""
    payload: Any = None
    node: str | None = None
    """Where the payload lies."""
    suspicions: list[Suspicion] = field(default_factory=list)
    num_errors: int = 0
    """Times that our own code failed on it."""
    passed_over: int = 0
    joined: bool = False
    """Whether it is in a stage that runs on, which has taken its payload up."""


@dataclass(eq=False, kw_only=True)
class Worker:
    """An actor: first `placing`, until the cluster has room for it, then `loading`, then up."""

    actor: Any
    placing: Any
    """Reference to what `place` returns; None once the worker runs somewhere."""
    loading: Any = None
    """Reference to what `setup` returns; None before and after."""
    node: str | None = None
    spawned: float = field(default_factory=time.monotonic)
    calls: dict[Any, tuple[list[Held], list[Any]]] = field(default_factory=dict)
    """Reference to the results -> items of the call, and references to their new payloads."""
    inside: dict[int, Held] = field(default_factory=dict)
    """Items that joined a stage that runs on, by name; those of its calls among them."""
    has_room: bool = True
    """Whether that stage would work on more items at once."""
    isolated: bool = False
    """Runs an item that was there when a worker died; nothing else shares that risk."""
    retiring: bool = False
    """Takes no more calls: its CPU goes to another pool."""

    @property
    def held(self) -> list[Held]:
        """Items that it was given, and that have not come back."""
        return [*self.inside.values()] or [one for held, _ in self.calls.values() for one in held]

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self.calls and not self.inside

    @property
    def is_up(self) -> bool:
        """Whether it can be given items. No other worker is: an actor that Ray cannot place may never run."""
        return self.placing is None and self.loading is None


Reserve = Callable[[Worker, Held], bool]
"""Takes room for an item's payloads on a worker's node, if there is any."""


class WorkerPool:
    """The workers of one stage, and the items that wait for them."""

    def __init__(self, spec: StageSpec) -> None:
        self.spec = spec
        self.runs_on = issubclass(spec.stage, RunningStage)
        self._names = count()
        self.num_wanted = spec.num_workers
        self.num_lent = 0
        """Workers given up for a pool that had none."""
        self.queue: deque[Held] = deque()
        self.quarantine: deque[Held] = deque()
        """Items that were there when a worker died: each runs alone in a worker."""
        self.incident: Incident | None = None
        self.incidents_in_a_row = 0
        self.loading_deaths = 0
        self.description: tuple[Any] | None = None
        """Description from the first worker that was set up."""
        self.without_worker_since = time.monotonic()
        self._files: tuple[str, dict[str, Any]] | None = None
        actor_class = type(spec.name, (StageWorker,), {})  # the name by which processes and dashboards show workers
        self._actor_class: Any = ray.remote(actor_class).options(
            num_cpus=spec.num_cpus, num_gpus=spec.num_gpus, max_restarts=0, max_task_retries=0
        )
        self.workers: list[Worker] = []
        self.fill()

    def fill(self) -> None:
        """Spawn missing workers; give up surplus ones, unplaced ones first."""
        # Actors are asked for at once, and placed by the cluster when it has room; items wait for placed workers only.
        missing = max(1, self.num_wanted - self.num_lent) - sum(not w.retiring for w in self.workers)
        for _ in range(missing):
            actor = self._actor_class.remote(self.spec)
            self.workers.append(Worker(actor=actor, placing=actor.place.remote()))
        idle = [w for w in self.workers if w.placing is not None] + [w for w in self.workers if w.is_up and w.is_idle]
        for worker in [w for w in idle if not w.retiring][: max(0, -missing)]:
            self.drop(worker)

    def drop(self, worker: Worker) -> None:
        """End a worker and forget it."""
        if worker in self.workers:
            self.workers.remove(worker)
        with suppress(RayError):
            ray.kill(worker.actor)

    def retire_one(self) -> bool:
        """Give up one worker for another pool, after its calls; never the last one."""
        able = [w for w in self.workers if w.is_up and not w.retiring]
        if len(able) < 2:
            return False
        worker = min(able, key=lambda w: len(w.calls))
        worker.retiring = True
        self.num_lent += 1
        return True

    def sweep(self) -> None:
        """Drop retired workers that have finished, and note the time if any worker is placed."""
        for worker in [w for w in self.workers if w.retiring and w.is_idle]:
            self.drop(worker)
        if any(w.placing is None for w in self.workers):
            self.without_worker_since = time.monotonic()

    def launch(self, reserve: Reserve) -> None:
        """Give waiting items to workers that are up and free."""
        # Workers with the fewest calls choose first. Results and payloads are separate objects: the driver fetches the
        # small results, and payloads stay in the object store.
        for worker in sorted(self.workers, key=lambda w: len(w.held)):
            if self.runs_on:
                self._work_on(worker, reserve)
                continue
            while (held := self._take(worker, reserve)) is not None:
                run = worker.actor.run.options(num_returns=1 + len(held))
                results, *payloads = run.remote([h.item for h in held], *[h.payload for h in held])
                worker.calls[results] = (held, payloads)

    def _work_on(self, worker: Worker, reserve: Reserve) -> None:
        """Call a worker whose stage runs on, with new items if it has room, or so that it goes on with those it has."""
        if not worker.is_up or worker.calls:
            return
        held = (self._take(worker, reserve) if worker.has_room else None) or []
        if not held and not worker.inside:
            return
        joining = {next(self._names): one for one in held}
        worker.inside |= joining
        payloads = [one.payload for one in held]
        ref = worker.actor.work.remote([*joining], [one.item for one in held], *payloads)
        worker.calls[ref] = (held, [])

    def free_calls(self) -> int:
        """Count the calls that could be made before all workers are busy."""
        able = [w for w in self.workers if w.is_up and not w.isolated and not w.retiring]
        return sum(CALLS_PER_ACTOR - len(w.calls) for w in able)

    def underway(self) -> list[Held]:
        """Return the items that wait or run."""
        running = (one for w in self.workers for one in w.held)
        return [*self.queue, *self.quarantine, *running]

    def on_placed(self, worker: Worker) -> None:
        """Set up a worker that the cluster has found room for.

        Raises:
            RayError: the worker is gone again.
        """
        worker.node, sees_folder = ray.get(worker.placing)
        worker.placing = None
        digest, files = ("", {}) if sees_folder else self._folder()
        worker.loading = worker.actor.setup.remote(digest, list(files), *files.values())

    def on_loaded(self, worker: Worker) -> None:
        """Take up the description of a worker that is set up.

        Raises:
            UserError: the worker cannot be set up.
            RayError: the worker is gone.
        """
        description, error = ray.get(worker.loading)
        if error is not None:
            raise error
        worker.loading = None
        self.description = self.description or (description,)

    def on_death(self, worker: Worker, error: RayError, *, node_lost: bool) -> Incident:
        """Replace a worker that died.

        Deaths of workers that were all there when the first of them died are one incident: a machine that goes takes
        dozens with it.

        Raises:
            UserError: none can be set up, or incidents follow one another with nothing finished between them.
        """
        now = time.monotonic()
        if worker in self.workers:
            self.drop(worker)
        # A worker that was spawned after the incident began cannot be one of its victims: that is a new incident.
        known = self.incident
        if known is None or worker.spawned > known.began or now - known.began > INCIDENT_SECONDS:
            known = self.incident = Incident(began=now)
            self.incidents_in_a_row += 1
        known.num_workers += 1
        # Deaths before any worker was ever set up point to the model or its memory: retrying forever would not help.
        if worker.loading is not None and self.description is None and not node_lost:
            self.loading_deaths += 1
            if self.loading_deaths >= MAX_LOADING_DEATHS:
                raise UserError(f"Workers die while they load the model: {first_line(error)}") from error
        if self.incidents_in_a_row > MAX_INCIDENTS_IN_A_ROW:
            raise UserError(f"Workers keep dying, and nothing gets done: {first_line(error)}") from error
        self.fill()
        return known

    def _take(self, worker: Worker, reserve: Reserve) -> list[Held] | None:
        """Choose the next call of a worker: an idle worker takes any number of items, a busy one full batches only."""
        if not worker.is_up or worker.retiring or worker.isolated or len(worker.calls) >= CALLS_PER_ACTOR:
            return None
        if self.quarantine:  # wait for a worker that is idle, and do not keep it busy
            if not worker.is_idle or not self._may_isolate():
                return None
            worker.isolated = True
            return [self.quarantine.popleft()]
        enough = 1 if self.runs_on or not worker.calls else self.spec.batch_size
        if len(self.queue) < enough:
            return None
        return self._pick(worker, reserve)

    def _may_isolate(self) -> bool:
        """Tell whether the next suspect may run; one that died alone beside other deaths waits for running suspects."""
        again = any(s.alone and s.incident.num_workers > 1 for s in self.quarantine[0].suspicions)
        return not (again and any(w.isolated for w in self.workers))

    def _pick(self, worker: Worker, reserve: Reserve) -> list[Held] | None:
        """Take a batch off the queue: payloads on the worker's node first, but the oldest waits only a few times."""
        # Only a window at the head of the queue is considered, which keeps the order roughly. Items whose payload lies
        # on this node, or nowhere yet, come first; the others would have to be copied here. The oldest item may be
        # passed over a few times only, so that no item starves.
        # The items of a span are one call, however many they are.
        size, span = self.spec.batch_size, self.queue[0].span
        window = list(islice(self.queue, 4 * size))
        if span is not None:
            window = list(takewhile(lambda held: held.span == span, self.queue))
            size = len(window)
        if window[0].passed_over < MAX_PASSED_OVER:
            window.sort(key=lambda h: h.node not in (None, worker.node))  # stable: else in order
        chosen = list(takewhile(lambda held: reserve(worker, held), window[:size]))
        if not chosen:
            return None
        if self.queue[0] not in chosen:
            self.queue[0].passed_over += 1
        for held in chosen:
            self.queue.remove(held)
        return chosen

    def _folder(self) -> tuple[str, dict[str, Any]]:
        """Put the stage's folder into the object store, once, for nodes that do not see it."""
        self._files = self._files or put_folder(self.spec.folder)
        return self._files
