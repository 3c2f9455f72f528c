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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

from pipelines.executors.base import Executor, Resources, num_cpus_here
from pipelines.executors.ray_actors import _connect, _first_line, _put_files, _resources
from pipelines.executors.ray_data_worker import Parcel, StageActor, pack, unpack
from pipelines.executors.ray_worker import StageWorker
from pipelines.stages.base import Advance, Finished, Item, StageSpec
from videollm.errors import Status, UserError

MAX_BLOCKS: Final = 10_000
"""Blocks that a pass begins with, each of one item where there are no more: a reference costs the driver some KB."""
TASKS_PER_ACTOR: Final = 2
"""One that runs and one that waits, so that no actor waits for the driver."""
MAX_ACTORS: Final = 4096
"""Of a pool that may grow with the cluster."""
MAX_TASK_RETRIES: Final = 3
"""Actors that a block may see die before it is left to the next pass."""
MAX_FUTILE_PASSES: Final = 3
"""Passes that finish nothing, with no node lost in them, after which what is left is given up."""
STALL_SECONDS: Final = 60.0
"""Time without a result, after a node was lost, until the pass is begun again: its actors may have no place."""
TELL_SECONDS: Final = 10.0
"""Time without a result after which the log tells what the job waits for."""
TICK_SECONDS: Final = 1.0


class RayData(Executor):
    """Ray Data on a cluster, or on one that is started on this machine."""

    def __init__(self, config: Executor.Config) -> None:
        super().__init__(config)
        self._descriptions: dict[str, Any] = {}

    def __enter__(self) -> RayData:
        _connect(self.config)
        _configure()
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def resources(self) -> Resources:
        """CPUs of the machine, or of the cluster, and its GPUs."""
        there = _resources()
        cpus = num_cpus_here() if self.config.address is None else int(there.get("CPU", 0))
        return Resources(num_cpus=cpus, num_gpus=there.get("GPU", 0.0))

    def describe(self, stage: StageSpec) -> Any:
        """Say what an actor of `run` said; before `run`, set the stage up in an actor that ends with this call."""
        if stage.name not in self._descriptions:
            actor: Any = ray.remote(StageWorker).options(num_cpus=stage.num_cpus, num_gpus=stage.num_gpus).remote(stage)
            files = _put_files(stage.folder)
            try:
                described, error = ray.get(actor.setup.remote(list(files), *files.values()))
            except ray.exceptions.RayError as lost:
                raise UserError(f"A worker died while it loaded the model: {_first_line(lost)}") from lost
            finally:
                ray.kill(actor)
            if error is not None:
                raise error
            self._descriptions[stage.name] = described
        return self._descriptions[stage.name]

    def run(self, stages: Sequence[StageSpec], items: Iterator[Item]) -> Iterator[Finished | None]:
        """Run passes over the items that have no end yet: the first over all, later ones item by item."""
        left = dict(enumerate(items))
        isolated, futile = False, 0
        while left:
            before, nodes = len(left), _nodes()
            for parcel in self._one_pass(stages, left, isolated=isolated):
                if parcel is None:
                    yield None
                elif left.pop(parcel.number, None) is not None:
                    assert isinstance(parcel.result, Finished)
                    yield parcel.result
            isolated = True
            futile = futile + 1 if len(left) == before and nodes <= _nodes() else 0
            if futile == MAX_FUTILE_PASSES:
                for item in left.values():
                    yield item.fail(Status.WORKER_DIED, f"lost with its worker ({futile} times)")
                return

    def _one_pass(
        self, stages: Sequence[StageSpec], left: Mapping[int, Item], *, isolated: bool
    ) -> Iterator[Parcel | None]:
        """Take items through all stages; some may be lost on the way.

        Args:
            isolated: one item per call, and no other waits in its actor.
        Returns:
            What the last stage made; None every second or so.
        Raises:
            UserError: a stage cannot be set up.
        """
        stream = _Stream(self._dataset(stages, left, isolated=isolated))
        nodes, last = _nodes(), time.monotonic()
        try:
            while True:
                try:
                    parcels = stream.take(TICK_SECONDS)
                except queue.Empty:
                    if not nodes <= _nodes() and time.monotonic() - last > STALL_SECONDS:
                        return
                    yield None
                    continue
                if parcels is None:
                    return
                nodes, last = _nodes(), time.monotonic()
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
        size = 1 if isolated else -(-len(parcels) // MAX_BLOCKS)
        dataset = ray.data.from_blocks([pack(parcels[i : i + size]) for i in range(0, len(parcels), size)])
        for spec in stages:
            actor_class = type(spec.name, (StageActor,), {})  # the name by which processes and dashboards show workers
            dataset = dataset.map_batches(
                actor_class,
                fn_constructor_args=(spec, _put_files(spec.folder)),
                batch_size=1 if isolated else spec.batch_size,
                batch_format="pyarrow",
                compute=self._pool(spec, len(parcels), isolated=isolated),
                num_cpus=spec.num_cpus,
                num_gpus=spec.num_gpus,
                max_task_retries=MAX_TASK_RETRIES,
            )
        return dataset

    def _pool(self, spec: StageSpec, num_items: int, *, isolated: bool) -> ActorPoolStrategy:
        """On a cluster pools shrink to what there is room for, and grow up to what was asked for."""
        size = min(spec.num_workers, num_items)
        on_cluster = self.config.address is not None
        return ActorPoolStrategy(
            min_size=1 if on_cluster else size,
            initial_size=size,
            max_size=MAX_ACTORS if on_cluster and spec.elastic else size,
            max_tasks_in_flight_per_actor=1 if isolated else TASKS_PER_ACTOR,
        )


class _Stream:
    """What a dataset makes, taken by a thread as it comes."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._results: queue.SimpleQueue[list[Parcel] | None] = queue.SimpleQueue()
        self._closed = False
        threading.Thread(target=self._read, name="results", daemon=True).start()

    def take(self, timeout: float) -> list[Parcel] | None:
        """Wait for parcels; None once there are no more.

        Raises:
            queue.Empty: none came in time.
        """
        return self._results.get(timeout=timeout)

    def close(self) -> None:
        """End the pass, and its actors."""
        self._closed = True
        executor = self._dataset._current_executor
        if executor is not None:
            executor.shutdown(force=True)

    def _read(self) -> None:
        with suppress(Exception):  # what it lost on the way has no result, and is run again
            bundles, _, _ = self._dataset._execute_to_iterator()
            for bundle in bundles:
                for block in ray.get([entry.ref for entry in bundle.blocks]):
                    if self._closed:
                        return
                    self._results.put(unpack(block))
        self._results.put(None)


def _configure() -> None:
    """Have Ray Data say nothing, keep rows apart, and go on without what it loses."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")  # the only way to max_task_retries
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # every row is a block: it goes on, and is lost, alone
    context.max_errored_blocks = -1
    context.max_consecutive_actor_init_deaths = 20


def _nodes() -> frozenset[str]:
    there: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return frozenset(n["NodeID"] for n in there if n["Alive"])
