"""The executor on plain Ray actors: a pool per stage, and a loop on the driver that hands items from pool to pool.

The driver decides what runs where, so a worker's death is charged to the items it held, a clip that kills workers is
found out, and the clips decoded ahead are bounded in number. Payloads (frames, visual tokens) stay in the object store:
they travel beside their items, as results of their own.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody named that network address
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import numpy as np
import ray
from ray.exceptions import RayActorError, RayError

from pipelines.executors.base import Executor, Resources, num_cpus_here
from pipelines.executors.code_shipping import code_paths
from pipelines.executors.ray_worker import StageWorker
from pipelines.stages.base import Advance, Finished, Item, StageSpec
from videollm.errors import Status, UserError

MAX_DEATHS: Final = 3
"""Workers (or tasks) a clip may take down before it becomes an error row."""
MAX_DEATHS_IN_A_ROW: Final = 20
"""Deaths of a pool's workers with nothing finished between them, after which the job stops."""
CALLS_PER_ACTOR: Final = 2
"""One that runs and one that waits, so that no worker waits for the driver."""
LOCAL_CPUS: Final = 10_000
"""Logical CPUs of a cluster on this machine: the sizes of the pools decide what runs, not Ray's bookkeeping."""
STORE_SHARE: Final = 0.4
"""Share of the object store that clips between the stages may take."""


@dataclass(kw_only=True)
class _Held:
    """An item on the driver: its payload is a reference."""

    item: Item
    payload: Any = None
    deaths: int = 0


@dataclass(eq=False, kw_only=True)
class _Worker:
    actor: Any
    loading: Any = None
    """Reference to what `setup` returns; None once the worker is up. Only workers that are up get calls."""
    calls: dict[Any, tuple[list[_Held], list[Any]]] = field(default_factory=dict)
    """Reference to the results -> items of the call, and references to their new payloads."""
    isolated: bool = False
    """Runs an item that was there when a worker died; nothing else shares that risk."""


class WorkerPool:
    """The workers of one stage and what waits for them."""

    def __init__(self, spec: StageSpec) -> None:
        self.spec = spec
        self.queue: deque[_Held] = deque()
        self.quarantine: deque[_Held] = deque()
        """Items that were there when a worker died."""
        self.deaths_in_a_row = 0
        self.description: tuple[Any] | None = None
        """What the first worker that was set up said of itself."""
        self._files = _put_files(spec.folder)
        actor_class = type(spec.name, (StageWorker,), {})  # the name by which processes and dashboards show workers
        self._actor_class: Any = ray.remote(actor_class).options(
            num_cpus=spec.num_cpus, num_gpus=spec.num_gpus, max_restarts=0, max_task_retries=0
        )
        self.workers = [self._spawn() for _ in range(spec.num_workers)]

    def launch(self) -> None:
        """Give waiting items to workers that are free."""
        for worker in sorted(self.workers, key=lambda w: len(w.calls)):
            while (held := self._take(worker)) is not None:
                run = worker.actor.run.options(num_returns=1 + len(held))
                results, *payloads = run.remote([h.item for h in held], *[h.payload for h in held])
                worker.calls[results] = (held, payloads)

    def replace(self, worker: _Worker) -> None:
        """Spawn a new worker for one that died."""
        if worker in self.workers:
            self.workers[self.workers.index(worker)] = self._spawn()
            self.deaths_in_a_row += 1

    def free_calls(self) -> int:
        """Calls that could be made before all workers are busy."""
        return sum(CALLS_PER_ACTOR - len(w.calls) for w in self.workers if not w.isolated)

    def num_underway(self) -> int:
        """Items that wait or run."""
        return len(self.queue) + len(self.quarantine) + sum(len(h) for w in self.workers for h, _ in w.calls.values())

    def on_loaded(self, worker: _Worker) -> None:
        """Take what a worker says once it is set up.

        Raises:
            UserError: it cannot be set up, or died before any worker of the pool was.
        """
        ref, worker.loading = worker.loading, None
        try:
            description, error = ray.get(ref)
        except RayError as lost:
            if self.description is None:
                raise UserError(f"A worker died while it loaded the model: {_first_line(lost)}") from lost
            self.replace(worker)
            self.check_deaths(lost)
            return
        if error is not None:
            raise error
        self.description = self.description or (description,)

    def check_deaths(self, last: Exception) -> None:
        """Stop the job where nothing gets done any more.

        Raises:
            UserError: too many workers died with nothing finished between them.
        """
        if self.deaths_in_a_row > MAX_DEATHS_IN_A_ROW:
            raise UserError(f"Workers keep dying, and nothing gets done: {_first_line(last)}") from last

    def _spawn(self) -> _Worker:
        actor = self._actor_class.remote(self.spec)
        return _Worker(actor=actor, loading=actor.setup.remote(list(self._files), *self._files.values()))

    def _take(self, worker: _Worker) -> list[_Held] | None:
        """What a worker should run next: an idle one whatever there is, a busy one full calls only."""
        if worker.loading is not None or worker.isolated or len(worker.calls) >= CALLS_PER_ACTOR:
            return None
        if self.quarantine:  # wait for a worker that is idle, and do not keep it busy
            worker.isolated = not worker.calls
            return None if worker.calls else [self.quarantine.popleft()]
        enough = 1 if not worker.calls else self.spec.batch_size
        if len(self.queue) < enough:
            return None
        return [self.queue.popleft() for _ in range(min(self.spec.batch_size, len(self.queue)))]


class RayActors(Executor):
    """Pools of actors on a cluster, or on one that is started on this machine."""

    def __init__(self, config: Executor.Config) -> None:
        super().__init__(config)
        self._pools: list[WorkerPool] = []
        """Those of `run`, in the order of its stages; before, those that were described."""

    def __enter__(self) -> RayActors:
        _connect(self.config)
        return self

    def __exit__(self, *_: object) -> None:
        self._pools = []
        ray.shutdown()

    def resources(self) -> Resources:
        """CPUs of the machine, or of the cluster, and its GPUs."""
        there = _resources()
        cpus = num_cpus_here() if self.config.address is None else int(there.get("CPU", 0))
        return Resources(num_cpus=cpus, num_gpus=there.get("GPU", 0.0))

    def describe(self, stage: StageSpec) -> Any:
        """Wait for the first worker of a pool that is set up; the others go on."""
        pool = next((p for p in self._pools if p.spec == stage), None)
        if pool is None:
            _check_room([stage])
            pool = WorkerPool(stage)
            self._pools.append(pool)
        while pool.description is None:
            loading = {w.loading: w for w in pool.workers if w.loading is not None}
            pool.on_loaded(loading[ray.wait([*loading], num_returns=1)[0][0]])
        return pool.description[0]

    def queue_lengths(self) -> dict[str, int]:
        """Items that wait for each stage."""
        return {p.spec.name: len(p.queue) + len(p.quarantine) for p in self._pools}

    def run(self, stages: Sequence[StageSpec], items: Iterator[Item]) -> Iterator[Finished | None]:
        """Start the pools that are not there yet, and hand items from pool to pool."""
        _check_room(stages)
        there = list(self._pools)
        self._pools = [next((p for p in there if p.spec == s), None) or WorkerPool(s) for s in stages]
        limits = _Limits(self._pools)
        while True:
            _feed(self._pools, items, limits)
            for pool in reversed(self._pools):
                pool.launch()
            calls = {ref: (at, w) for at, pool in enumerate(self._pools) for w in pool.workers for ref in w.calls}
            loading = {w.loading: (p, w) for p in self._pools for w in p.workers if w.loading is not None}
            if not calls and not any(p.num_underway() for p in self._pools):
                return
            ray.wait([*calls, *loading], num_returns=1, timeout=1.0, fetch_local=False)
            for ref in ray.wait([*loading], num_returns=len(loading), timeout=0)[0] if loading else []:
                pool, worker = loading[ref]
                pool.on_loaded(worker)
            for ref in ray.wait([*calls], num_returns=len(calls), timeout=0, fetch_local=False)[0] if calls else []:
                yield from self._collect(ref, *calls[ref], limits)
            yield None

    def _collect(self, ref: Any, at: int, worker: _Worker, limits: _Limits) -> Iterator[Finished]:
        """What a finished call says: what goes on is queued at the next pool, what died is tried again."""
        pool = self._pools[at]
        held, payloads = worker.calls.pop(ref)
        worker.isolated = False
        try:
            results, call = ray.get(ref)
        except RayError as error:  # the worker died, its node went, or our own code failed
            if isinstance(error, RayActorError):
                pool.replace(worker)
            pool.check_deaths(error)
            yield from self._suspect(held, error)
            return
        self.log_call(call)
        pool.deaths_in_a_row = 0
        for before, payload, result in zip(held, payloads, results, strict=True):
            if isinstance(result, Advance):
                limits.observe(result.item)
                following = self._pools[at + 1]
                queue = following.quarantine if before.deaths else following.queue
                queue.append(_Held(item=result.item, payload=payload, deaths=before.deaths))
            else:
                yield result

    def _suspect(self, held: Sequence[_Held], error: RayError) -> Iterator[Finished]:
        """Run items again from the start, each alone, until it is clear that it is their fault."""
        for one in held:
            deaths = one.deaths + 1
            if deaths >= MAX_DEATHS:
                status = Status.WORKER_DIED if isinstance(error, RayActorError) else Status.INTERNAL_ERROR
                yield one.item.restarted().fail(status, f"{_first_line(error)} ({deaths} times)")
            else:
                self._pools[0].quarantine.append(_Held(item=one.item.restarted(), deaths=deaths))


class _Limits:
    """How many items may be between the first stage and their rows."""

    def __init__(self, pools: Sequence[WorkerPool]) -> None:
        first, *later = [p.spec for p in pools]
        self.num_items = 2 * first.num_workers + 2 * sum(s.num_workers * s.batch_size for s in later)
        self.num_bytes = STORE_SHARE * _resources().get("object_store_memory", 2**30)
        self.largest = 0

    def observe(self, item: Item) -> None:
        """Learn how large payloads are."""
        self.largest = max(self.largest, item.num_bytes)

    def allow(self, num_underway: int) -> bool:
        """Whether one more item may start."""
        return num_underway == 0 or (
            num_underway < self.num_items and (num_underway + 1) * self.largest <= self.num_bytes
        )


def _feed(pools: Sequence[WorkerPool], items: Iterator[Item], limits: _Limits) -> None:
    """Queue new items at the first pool, as many as it can take up."""
    first, underway = pools[0], sum(p.num_underway() for p in pools)
    while len(first.queue) < first.free_calls() and limits.allow(underway):
        item = next(items, None)
        if item is None:
            return
        first.queue.append(_Held(item=item))
        underway += 1


def _check_room(stages: Sequence[StageSpec]) -> None:
    """Check that the cluster is large enough for the stages.

    Raises:
        UserError: it is not.
    """
    there = _resources()
    cpus = sum(s.num_workers * s.num_cpus for s in stages[1:] or stages) + 1
    gpus = sum(s.num_workers * s.num_gpus for s in stages)
    if cpus > there.get("CPU", 0) or gpus > there.get("GPU", 0):
        raise UserError(
            f"The job wants {cpus:g} CPUs and {gpus:g} GPUs, the cluster has {there.get('CPU', 0):g} and "
            f"{there.get('GPU', 0):g}. Lower --num-llms, --num-encoders or --gpus-per-llm, or use a larger one."
        )


def _connect(config: Executor.Config) -> None:
    """Join the cluster, or start one on this machine."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if config.address is None:
            ray.init(address="local", num_cpus=LOCAL_CPUS, include_dashboard=False, **quiet)
        else:
            ray.init(address=config.address, runtime_env={"py_modules": code_paths(config.module)}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = "on this machine" if config.address is None else f"at {config.address}"
        raise UserError(f"No Ray cluster {where}: {_first_line(error)}") from error


def _resources() -> dict[str, float]:
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return there


def _put_files(folder: Path | None) -> dict[str, Any]:
    """Files of a folder in the object store."""
    if folder is None:
        return {}
    return {f.name: ray.put(np.fromfile(f, np.uint8)) for f in sorted(folder.iterdir()) if f.is_file()}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
