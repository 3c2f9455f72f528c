"""The job on Ray: pools of actors, one a stage, and a loop on the driver that hands clips from pool to pool.

Plain actors, not Ray Data: the driver decides what runs where, so a worker's death is charged to the clips it held,
a clip that kills workers is found out, and the clips decoded ahead are bounded in number. Everything a worker tells
is a row or a work to carry on with; payloads (frames, visual tokens) stay in the object store.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody named that network address
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import numpy as np
import ray
from ray.exceptions import RayActorError, RayError

from pipelines.cli.options import WorkerOptions
from pipelines.executors.code_shipping import packages
from pipelines.results.schema import Facts, Row, failed
from pipelines.stages.clip_stages import Work
from pipelines.stages.model_info import Card
from videollm.errors import UserError

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


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Workers of one stage."""

    stage: type
    arguments: tuple[Any, ...]
    size: int
    clips_per_call: int = 1
    num_cpus: float = 1
    num_gpus: float = 0
    model_folder: Path | None = None
    """Brought to workers that do not see it."""


@dataclass(kw_only=True)
class _Item:
    work: Work
    payload: Any = None
    deaths: int = 0


@dataclass(eq=False, kw_only=True)
class _Worker:
    actor: Any
    calls: dict[Any, tuple[list[_Item], list[Any]]] = field(default_factory=dict)
    """Reference to the outcomes -> items of the call, and references to their new payloads."""
    alone: bool = False
    """Runs an item that was there when a worker died; nothing else shares that risk."""


class _Team:
    """The workers of one pool and what waits for them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.queue: deque[_Item] = deque()
        self.suspects: deque[_Item] = deque()
        self.deaths_in_a_row = 0
        self._files = _put_files(pool.model_folder)
        self._actor_class: Any = ray.remote(pool.stage).options(
            num_cpus=pool.num_cpus, num_gpus=pool.num_gpus, max_restarts=0, max_task_retries=0
        )
        self.workers = [self._hire() for _ in range(pool.size)]

    def launch(self) -> None:
        """Give waiting items to workers that are free."""
        for worker in sorted(self.workers, key=lambda w: len(w.calls)):
            while (items := self._take(worker)) is not None:
                run = worker.actor.run.options(num_returns=1 + len(items))
                outcomes, *payloads = run.remote([i.work for i in items], *[i.payload for i in items])
                worker.calls[outcomes] = (items, payloads)

    def replace(self, worker: _Worker) -> None:
        """Hire a new worker for one that died."""
        if worker in self.workers:
            self.workers[self.workers.index(worker)] = self._hire()
            self.deaths_in_a_row += 1

    def free_calls(self) -> int:
        """Calls that could be made before all workers are busy."""
        return sum(CALLS_PER_ACTOR - len(w.calls) for w in self.workers if not w.alone)

    def _hire(self) -> _Worker:
        actor = self._actor_class.remote(*self.pool.arguments)
        if self._files:
            actor.install.remote(list(self._files), *self._files.values())
        return _Worker(actor=actor)

    def _take(self, worker: _Worker) -> list[_Item] | None:
        """What a worker should run next: an idle one whatever there is, a busy one full calls only."""
        if worker.alone or len(worker.calls) >= CALLS_PER_ACTOR:
            return None
        if self.suspects:  # wait for a worker that is idle, and do not keep it busy
            worker.alone = not worker.calls
            return None if worker.calls else [self.suspects.popleft()]
        enough = 1 if not worker.calls else self.pool.clips_per_call
        if len(self.queue) < enough:
            return None
        return [self.queue.popleft() for _ in range(min(self.pool.clips_per_call, len(self.queue)))]


class Runner:
    """Workers on Ray; use it as a context manager.

    Args:
        options: where.
        connector: `pkg.mod:Class` whose code the workers need.
    Raises:
        UserError: there is no such cluster, or it is too small.
    """

    def __init__(self, options: WorkerOptions, connector: str | None = None) -> None:
        self.options, self.connector = options, connector
        self.teams: list[_Team] = []
        self._waiting: list[list[Any]] = []
        """For each team of which no worker has loaded its model yet, what they will say of it."""
        self._card: Card | None = None
        self.num_cached = 0
        """Clips done whose features were in the cache."""

    def __enter__(self) -> Runner:
        _connect(self.options, self.connector)
        return self

    def __exit__(self, *_: object) -> None:
        self.teams = []
        ray.shutdown()

    def resources(self) -> tuple[int, float]:
        """CPUs of the machine, or of the cluster, and its GPUs."""
        there = _resources()
        cpus = len(os.sched_getaffinity(0)) if self.options.address is None else int(there.get("CPU", 0))
        return cpus, there.get("GPU", 0.0)

    def start(self, pools: Sequence[Pool]) -> None:
        """Start the pools that hold a model.

        Raises:
            UserError: the cluster is too small for them and a decoder.
        """
        there = _resources()
        cpus = sum(p.size * p.num_cpus for p in pools) + 1
        gpus = sum(p.size * p.num_gpus for p in pools)
        if cpus > there.get("CPU", 0) or gpus > there.get("GPU", 0):
            raise UserError(
                f"The job wants {cpus:g} CPUs and {gpus:g} GPUs, the cluster has {there.get('CPU', 0):g} and "
                f"{there.get('GPU', 0):g}. Lower --num-llms, --num-encoders or --gpus-per-llm, or use a larger one."
            )
        self.teams = [_Team(p) for p in pools]

    def load(self, *arguments: Any) -> None:
        """Have the models loaded.

        Args:
            arguments: of the stages' `card`.
        """
        self._waiting = [[w.actor.card.remote(*arguments) for w in t.workers] for t in self.teams]

    def loaded(self) -> Card:
        """What the first encoder that is loaded says of itself; the others go on loading.

        Raises:
            UserError: it does not load.
        """
        while self._card is None:
            self._hear(ray.wait(self._loading, num_returns=1)[0][0])
        return self._card

    def _hear(self, ref: Any) -> None:
        """Take what a worker says that has loaded its model."""
        try:
            card: Card | str = ray.get(ref)
        except RayError as error:
            raise UserError(f"A worker died while it loaded the model: {_first_line(error)}") from error
        if isinstance(card, str):
            raise UserError(card)
        if ref in self._waiting[0] and self._card is None:
            self._card = card
        self._waiting = [refs for refs in self._waiting if ref not in refs]

    @property
    def _loading(self) -> list[Any]:
        return [ref for refs in self._waiting for ref in refs]

    def problems(self) -> set[str]:
        """What living encoders could not do, though all rows are there."""
        asked = [w.actor.get_problem.remote() for w in self.teams[1].workers]
        done, _ = ray.wait(asked, num_returns=len(asked), timeout=10)
        found = set()
        for ref in done:
            with suppress(RayError):
                found.add(ray.get(ref))
        return found - {None}

    def decode_with(self, pool: Pool) -> None:
        """Add the pool in front."""
        self.teams.insert(0, _Team(pool))

    def run(self, works: Iterator[Work], card: Card, finish: Callable[[list[Row]], None]) -> None:
        """Take every work through all stages.

        Args:
            works: clips; taken as the workers need them.
            finish: is given the rows of each clip as soon as they are made.
        """
        limits = _Limits(self.teams)
        while True:
            _feed(self.teams, works, limits)
            for team in self.teams[:1] if self._loading else reversed(self.teams):
                team.launch()
            calls = {ref: (t, w) for t in range(len(self.teams)) for w in self.teams[t].workers for ref in w.calls}
            if not calls and not self._loading:
                return
            ray.wait([*calls, *self._loading], num_returns=1, timeout=1.0, fetch_local=False)
            if self._loading and (ready := ray.wait(self._loading, timeout=0)[0]):
                self._hear(ready[0])
            done = ray.wait([*calls], num_returns=len(calls), timeout=0, fetch_local=False)[0] if calls else []
            for ref in done:
                at, worker = calls[ref]
                for rows in self._collect(ref, at, worker, card, limits):
                    finish(rows)
            finish([])

    def _collect(self, ref: Any, at: int, worker: _Worker, card: Card, limits: _Limits) -> Iterator[list[Row]]:
        """Rows of a finished call; what goes on is queued at the next team, what died is tried again."""
        team = self.teams[at]
        items, payloads = worker.calls.pop(ref)
        worker.alone = False
        try:
            outcomes = ray.get(ref)
        except RayError as error:  # the worker died, its node went, or our own code failed
            if isinstance(error, RayActorError):
                team.replace(worker)
            if team.deaths_in_a_row > MAX_DEATHS_IN_A_ROW:
                raise UserError(f"Workers keep dying, and nothing gets done: {_first_line(error)}") from error
            yield from self._suspect(items, error, card)
            return
        team.deaths_in_a_row = 0
        for item, payload, outcome in zip(items, payloads, outcomes, strict=True):
            if isinstance(outcome, list):
                self.num_cached += item.work.cached
                yield outcome
            else:
                limits.saw(outcome)
                queued = self.teams[at + 1].suspects if item.deaths else self.teams[at + 1].queue
                queued.append(_Item(work=outcome, payload=payload, deaths=item.deaths))

    def _suspect(self, items: list[_Item], error: RayError, card: Card) -> Iterator[list[Row]]:
        """Run items again from the start, each alone, until it is clear that it is their fault."""
        for item in items:
            deaths = item.deaths + 1
            if deaths >= MAX_DEATHS:
                status = "worker_died" if isinstance(error, RayActorError) else "internal_error"
                yield list(failed(item.work.task, status, f"{_first_line(error)} ({deaths} times)", Facts(),
                                  card.identity))  # fmt: skip
            else:
                self.teams[0].suspects.append(_Item(work=replace(item.work, facts=Facts(), num_bytes=0), deaths=deaths))


class _Limits:
    """How many clips may be between the first stage and their rows."""

    def __init__(self, teams: Sequence[_Team]) -> None:
        later = [t.pool for t in teams[1:]]
        self.clips = 2 * teams[0].pool.size + 2 * sum(p.size * p.clips_per_call for p in later)
        self.bytes = STORE_SHARE * _resources().get("object_store_memory", 2**30)
        self.largest = 0

    def saw(self, work: Work) -> None:
        """Learn how large payloads are."""
        self.largest = max(self.largest, work.num_bytes)

    def allow(self, num_clips: int) -> bool:
        """Whether one more clip may start."""
        return num_clips == 0 or (num_clips < self.clips and (num_clips + 1) * self.largest <= self.bytes)


def _feed(teams: Sequence[_Team], works: Iterator[Work], limits: _Limits) -> None:
    """Queue new clips at the first team, as many as it can take up."""
    first = teams[0]
    underway = sum(
        len(t.queue) + len(t.suspects) + sum(len(items) for w in t.workers for items, _ in w.calls.values())
        for t in teams
    )
    while len(first.queue) < first.free_calls() and limits.allow(underway):
        work = next(works, None)
        if work is None:
            return
        first.queue.append(_Item(work=work))
        underway += 1


def _connect(options: WorkerOptions, connector: str | None) -> None:
    """Join the cluster, or start one on this machine."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if options.address is None:
            ray.init(address="local", num_cpus=LOCAL_CPUS, include_dashboard=False, **quiet)
        else:
            ray.init(address=options.address, runtime_env={"py_modules": packages(connector)}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = "on this machine" if options.address is None else f"at {options.address}"
        raise UserError(f"No Ray cluster {where}: {_first_line(error)}") from error


def _resources() -> dict[str, float]:
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return there


def _put_files(folder: Path | None) -> dict[str, Any]:
    """Files of a model folder in the object store."""
    if folder is None:
        return {}
    return {f.name: ray.put(np.fromfile(f, np.uint8)) for f in sorted(folder.iterdir()) if f.is_file()}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
