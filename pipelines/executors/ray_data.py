"""The executor on Ray Data: its streaming executor moves items through a pool of actors per stage.

Ray Data places, scales and restarts actors, moves payloads, and bounds what is under way. Here the items become blocks
of one row, and what it loses with an actor or a node is run again, in passes, until every item has its end.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from itertools import count, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

from pipelines.executors.base import Executor, Resources, Source
from pipelines.executors.ray_actors import RayActors
from pipelines.executors.ray_cluster import Cluster, connect, waiting_text
from pipelines.executors.ray_data_worker import Parcel, StageActor, pack, unpack
from pipelines.executors.ray_metrics import Metrics
from pipelines.executors.ray_worker import put_folder
from pipelines.stages.base import Advance, Finished, Item, StageSpec
from videollm.errors import Status

ITEMS_PER_TASK: Final = 8
"""Of the first stage, at most; what it has done goes on at once, but a task costs Ray Data about 0.1 s."""
TASKS_PER_WORKER: Final = 8
"""Of the first stage, at least: fewer would leave workers idle at the end."""
MAX_TASKS: Final = 10_000
"""Of the first stage: each costs the driver some KB from the start."""
BLOCK_BYTES: Final = 100_000
"""Above which a block is passed on: each item with frames is a block of its own, rows of a call share one."""
TASKS_PER_ACTOR: Final = 2
"""One that runs and one that waits, so that no actor waits for the driver."""
MAX_ACTORS: Final = 4096
"""Of a pool that may grow with the cluster."""
MAX_TASK_RETRIES: Final = 3
"""Actors that a block may see die before it is left to the next pass."""
MAX_FUTILE_PASSES: Final = 3
"""Passes that finish nothing, with no node lost in them, after which the remaining items are given up."""
STALL_SECONDS: Final = 60.0
"""Time without a result, after a node was lost, until the pass is begun again: its actors may have no place."""
TELL_SECONDS: Final = 10.0
"""Time without a result after which the log tells what the job waits for."""
TICK_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 10.0
"""How long a pass that is ended early may take to end."""


class RayData(Executor):
    """Ray Data on a cluster, or on one that is started on this machine."""

    def __init__(self, config: Executor.Config) -> None:
        super().__init__(config)
        self._metrics = Metrics()
        self._stream: _Stream | None = None
        """Of the pass under way."""
        self._told = ""
        self._cluster = Cluster(is_local=config.address is None)
        self._descriptions: dict[str, Any] = {}
        """Stage -> what its actors say of themselves."""
        self._folders: dict[Path, tuple[str, dict[str, Any]]] = {}

    def __enter__(self) -> RayData:
        connect(self.config)
        _configure()
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        ray.shutdown()

    def resources(self) -> Resources:
        """Return the CPUs and GPUs of the machine, or of the cluster."""
        return self._cluster.resources()

    def publish(self, values: Mapping[tuple[str, str], float]) -> None:
        """Publish metrics of the job through Ray."""
        self._metrics.set(values)

    def describe(self, stage: StageSpec) -> Any:
        """Return the description from an actor of `run`; before `run`, from an actor that ends with this call."""
        if stage.name not in self._descriptions:
            actors = RayActors(self.config)
            actors.notify = self.notify
            self._descriptions[stage.name] = actors.describe(replace(stage, num_workers=1, elastic=False))
            actors.drop_workers()
        return self._descriptions[stage.name]

    def run(self, stages: Sequence[StageSpec], items: Iterator[Item | None]) -> Iterator[Finished | None]:
        """Run passes: over all items that there are by then, and over those that were lost, item by item."""
        source, numbers = Source(items), count()
        left: dict[int, Item] = {}
        isolated, futile = False, 0
        while True:
            if not left:  # nothing was lost
                isolated, futile = False, 0
                left = {next(numbers): item for span in iter(source.take, []) for item in span}
            if not left:
                if source.ended:
                    return
                raise RuntimeError("Items are to come, nothing is under way that they could wait for.")
            before, nodes = len(left), self._nodes()
            for parcel in self._one_pass(stages, left, isolated=isolated):
                if parcel is None:
                    yield None
                elif left.pop(parcel.number, None) is not None:
                    assert isinstance(parcel.result, Finished)
                    yield parcel.result
            isolated = True
            futile = futile + 1 if len(left) == before and nodes <= self._nodes() else 0
            if futile == MAX_FUTILE_PASSES:
                for item in left.values():
                    yield item.fail(Status.WORKER_DIED, f"lost with its worker ({futile} times)")
                left = {}

    def _one_pass(
        self, stages: Sequence[StageSpec], left: Mapping[int, Item], *, isolated: bool
    ) -> Iterator[Parcel | None]:
        """Take items through all stages, of which some may be lost on the way.

        Args:
            isolated: one item per call, and no other waits in its actor.
        Returns:
            What the last stage made; None every second or so.
        Raises:
            UserError: a stage cannot be set up.
        """
        stream = self._stream = _Stream(self._dataset(stages, left, isolated=isolated))
        nodes, last = self._nodes(), time.monotonic()
        try:
            while True:
                try:
                    parcels = stream.take(TICK_SECONDS)
                except queue.Empty:
                    waited = time.monotonic() - last
                    if waited > STALL_SECONDS and not nodes <= self._nodes():
                        return
                    if waited > TELL_SECONDS:
                        self._tell_what_is_waited_for(stages)
                    yield None
                    continue
                if parcels is None:
                    return
                nodes, last = self._nodes(), time.monotonic()
                for parcel in parcels:
                    if parcel.error is not None:
                        raise parcel.error
                    self._descriptions.update(parcel.descriptions)
                    for call in parcel.calls:
                        self.log_call(call)
                    yield parcel
        finally:
            stream.close()

    def _dataset(self, stages: Sequence[StageSpec], left: Mapping[int, Item], *, isolated: bool) -> Any:
        parcels = [Parcel(number=number, result=Advance(item=item)) for number, item in left.items()]
        size = min(ITEMS_PER_TASK, len(parcels) // (TASKS_PER_WORKER * stages[0].num_workers))
        size = 1 if isolated else max(1, size, -(-len(parcels) // MAX_TASKS))
        blocks = [parcels[i : i + size] for i in range(0, len(parcels), size)]
        in_spans = not isolated and any(item.task.span is not None for item in left.values())
        if in_spans:  # a block each, which the first stage takes in one call
            spans = [item.task.span or number for number, item in left.items()]
            blocks = [[p for p, _ in of] for _, of in groupby(zip(parcels, spans, strict=True), key=itemgetter(1))]
        dataset = ray.data.from_blocks([pack(block) for block in blocks])
        for spec in stages:
            actor_class = type(spec.name, (StageActor,), {})  # the name by which processes and dashboards show workers
            dataset = dataset.map_batches(
                actor_class,
                fn_constructor_args=(spec, *self._folder(spec)),
                batch_size=None if in_spans and spec is stages[0] else 1 if isolated else spec.batch_size,
                batch_format="pyarrow",
                compute=self._pool(spec, len(parcels), isolated=isolated),
                num_cpus=spec.num_cpus,
                num_gpus=spec.num_gpus,
                max_task_retries=MAX_TASK_RETRIES,
            )
        return dataset

    def _pool(self, spec: StageSpec, num_items: int, *, isolated: bool) -> ActorPoolStrategy:
        """Size a pool: on a cluster, pools shrink to the room that there is, and grow to the number asked for."""
        size = min(spec.num_workers, num_items)
        on_cluster = not self._cluster.is_local
        return ActorPoolStrategy(
            min_size=1 if on_cluster else size,
            initial_size=size,
            max_size=MAX_ACTORS if on_cluster and spec.elastic else size,
            max_tasks_in_flight_per_actor=1 if isolated else TASKS_PER_ACTOR,
        )

    def _folder(self, spec: StageSpec) -> tuple[str, dict[str, Any]]:
        """Put a stage's folder into the object store, for nodes of the cluster that join late without it."""
        if spec.folder is None or self._cluster.is_local:
            return "", {}
        if spec.folder not in self._folders:
            self._folders[spec.folder] = put_folder(spec.folder)
        return self._folders[spec.folder]

    def _nodes(self) -> Set[str]:
        return self._cluster.nodes().keys()

    def _tell_what_is_waited_for(self, stages: Sequence[StageSpec]) -> None:
        """Tell the user what the cluster lacks for one actor per stage."""
        there, cpus, gpus, waiting = self.resources(), 0.0, 0.0, []
        for spec in stages:
            cpus, gpus = cpus + spec.num_cpus, gpus + spec.num_gpus
            if not self._cluster.is_local and (cpus > there.num_cpus or gpus > there.num_gpus):
                waiting.append(spec)
        told = waiting_text(waiting, there) if waiting else ""
        if told and told != self._told:
            self.notify(told)
        self._told = told


class _Stream:
    """Output of a dataset, taken by a thread as it comes."""

    def __init__(self, dataset: Any) -> None:
        self._executor = dataset._create_executor()  # no public call tells of it, and only it ends a run early
        self._dataset = dataset
        self._results: queue.SimpleQueue[list[Parcel] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._read, name="results", daemon=True)
        self._thread.start()

    def take(self, timeout: float) -> list[Parcel] | None:
        """Wait for parcels; None once there are no more.

        Raises:
            queue.Empty: none came in time.
        """
        return self._results.get(timeout=timeout)

    def close(self) -> None:
        """End the pass, and its actors."""
        if self._closed:
            return
        self._closed = True
        self._executor.shutdown(force=True)
        self._thread.join(timeout=CLOSE_SECONDS)

    def _read(self) -> None:
        with suppress(Exception):  # what it lost on the way has no result, and is run again
            for bundle in self._dataset._build_bundle_iterator(self._executor):
                for block in ray.get([entry.ref for entry in bundle.blocks]):
                    if self._closed:
                        return
                    self._results.put(unpack(block))
        self._results.put(None)


def _configure() -> None:
    """Configure Ray Data to be silent, to keep rows apart, and to go on after losses."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")  # the only way to max_task_retries
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    context.max_errored_blocks = -1
    context.max_consecutive_actor_init_deaths = 20
