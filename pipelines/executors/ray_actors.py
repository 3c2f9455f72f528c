"""The executor on plain Ray actors: a pool per stage, and a loop on the driver that hands items from pool to pool.

The driver decides what runs where, so a worker's death is charged to the items it held, a clip that kills workers is
found out, and the clips decoded ahead are bounded by the memory of each node. Payloads (frames, visual tokens) stay in
the object store: they travel beside their items, as results of their own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayError

from pipelines.executors.base import Executor, Resources, Source
from pipelines.executors.ray_cluster import Cluster, Node, connect, first_line, waiting_text
from pipelines.executors.ray_metrics import Metrics
from pipelines.executors.ray_pool import Held, Incident, Suspicion, Worker, WorkerPool
from pipelines.stages.base import Advance, Finished, Item, StageSpec
from videollm.errors import Status

MAX_DEATHS_ALONE: Final = 2
"""Workers that an item may take down while nothing else runs in them, before it becomes an error row."""
MAX_DEATHS: Final = 10
"""Workers that may die with an item in them, whoever is to blame."""
MAX_ERRORS: Final = 3
"""Times that our own code may fail on an item outside a stage."""
STORE_SHARE: Final = 0.4
"""Share of a node's object store that payloads between the stages may take."""
TELL_SECONDS: Final = 5.0
"""Time without a worker after which the user is told what a stage waits for."""
STARVED_SECONDS: Final = 10.0
"""Time after which a pool without a worker is given the place of another pool's."""
TICK_SECONDS: Final = 1.0


class RayActors(Executor):
    """Pools of actors on a cluster, or on one that is started on this machine."""

    def __init__(self, config: Executor.Config) -> None:
        super().__init__(config)
        self._metrics = Metrics()
        self._cluster = Cluster(is_local=config.address is None)
        self._pools: list[WorkerPool] = []
        """Those of `run`, in the order of its stages; before, those that were described."""
        self._largest = 0
        """Bytes of the largest payload so far."""
        self._tuned = 0.0
        self._told = ""
        self._lent = 0.0
        """When a worker of one pool was last given up for another."""
        self._begun = Resources(num_cpus=0, num_gpus=0)
        """What the cluster had when the pools were sized."""

    def __enter__(self) -> RayActors:
        connect(self.config)
        return self

    def __exit__(self, *_: object) -> None:
        self._pools = []
        ray.shutdown()

    def drop_workers(self) -> None:
        """End all workers, and free their places."""
        for pool in self._pools:
            for worker in [*pool.workers]:
                pool.drop(worker)
        self._pools = []

    def resources(self) -> Resources:
        """Return the CPUs and GPUs of the machine, or of the cluster."""
        self._begun = self._cluster.resources()
        return self._begun

    def publish(self, values: Mapping[tuple[str, str], float]) -> None:
        """Publish metrics of the job through Ray."""
        self._metrics.set(values)

    def describe(self, stage: StageSpec) -> Any:
        """Wait until the first worker of the stage's pool is set up; the others go on loading."""
        pool = next((p for p in self._pools if p.spec == stage), None)
        if pool is None:
            pool = WorkerPool(stage)
            self._pools.append(pool)
        while pool.description is None:
            self._step_workers()
        return pool.description[0]

    def queue_lengths(self) -> dict[str, int]:
        """Count the items that wait for each stage."""
        return {p.spec.name: len(p.queue) + len(p.quarantine) for p in self._pools}

    def run(self, stages: Sequence[StageSpec], items: Iterator[Item | None]) -> Iterator[Finished | None]:
        """Start the missing pools, and hand items from pool to pool.

        Every turn: take up new items; give what waits to workers that are up and whose node has room, the last stage
        first, so that finished clips make room for new ones; wait for any call, placement or set-up to end; queue
        what goes on at the next pool, and give back what is finished.
        """
        # Pools that `describe` started go on as they are: their models are loaded, or are loading.
        source, there = Source(items), list(self._pools)
        self._pools = [next((p for p in there if p.spec == s), None) or WorkerPool(s) for s in stages]
        while True:
            # Room is counted anew every turn, so that no count can drift when workers or nodes are lost.
            self._feed(source)
            room = _Room(self._pools, self._cluster.nodes(), self._largest)
            # The last stage comes first: what it takes frees room on the nodes for frames yet to be decoded.
            for pool in reversed(self._pools):
                pool.launch(room.reserve)
            calls = {ref: (at, w) for at, pool in enumerate(self._pools) for w in pool.workers for ref in w.calls}
            if not any(p.underway() for p in self._pools):
                if source.ended:
                    return
                raise RuntimeError("Items are to come, nothing is under way that they could wait for.")
            # Wait for one event of any kind, then take all calls that have ended by now, of whichever pool.
            self._step_workers([*calls])
            for ref in ray.wait([*calls], num_returns=len(calls), timeout=0, fetch_local=False)[0] if calls else []:
                yield from self._collect(ref, *calls[ref])
            yield None

    def _step_workers(self, calls: Sequence[Any] = ()) -> None:
        """Wait for a call, a placement or a set-up to end, and bring workers up."""
        self._tune()
        rising = {(w.placing or w.loading): (p, w) for p in self._pools for w in p.workers if not w.is_up}
        ray.wait([*calls, *rising], num_returns=1, timeout=TICK_SECONDS, fetch_local=False)
        for ref in ray.wait([*rising], num_returns=len(rising), timeout=0)[0] if rising else []:
            pool, worker = rising[ref]
            try:
                (pool.on_loaded if worker.placing is None else pool.on_placed)(worker)
            except RayError as error:
                pool.on_death(worker, error, node_lost=self._cluster.lost(worker.node))

    def _feed(self, source: Source) -> None:
        """Queue new items at the first pool, up to its free calls."""
        # On the way are at most two batches per worker of the later stages, and two items per worker of the first:
        # enough that no worker runs dry, and few enough that payloads do not pile up. Those that have joined a stage
        # that runs on do not count, and the windows of a span are one: else a single span would keep all but one
        # worker of the first stage idle.
        first, *later = self._pools
        most = 2 * len(first.workers) + 2 * sum(len(p.workers) * p.spec.batch_size for p in later)
        underway = _num_spans(held for p in self._pools for held in p.underway() if not held.joined)
        waiting = _num_spans(first.queue)
        while waiting < max(1, first.free_calls()) and underway < max(1, most):
            span = source.take()
            if not span:
                return
            first.queue.extend(Held(item=item, span=item.task.span) for item in span)
            waiting, underway = waiting + 1, underway + 1

    def _collect(self, ref: Any, at: int, worker: Worker) -> Iterator[Finished]:
        """Take the results of a finished call: queue items at the next pool, retry items of a dead worker."""
        if ref not in worker.calls:  # the worker died, and its other call has told so for both
            return
        pool = self._pools[at]
        held, payloads = worker.calls.pop(ref)
        if pool.runs_on:
            joining, held = held, worker.held
        alone = worker.isolated
        try:
            if pool.runs_on:
                ends, call, worker.has_room = ray.get(ref)
                ends = {name: end for name, end in ends.items() if name in worker.inside}
                held = [worker.inside.pop(name) for name in ends]
                for one in worker.inside.values():  # what was decoded for them is needed no more
                    one.payload, one.joined = None, True
                results, payloads = [*ends.values()], [None] * len(ends)
            else:
                results, call = ray.get(ref)
        except RayActorError as error:
            # The worker died. The items of its running call are suspects, and so are those of the call that waited in
            # it, since the death does not tell which of the two calls was running.
            node_lost = self._cluster.lost(worker.node)
            incident = pool.on_death(worker, error, node_lost=node_lost)
            waiting = [] if pool.runs_on else worker.held
            worker.calls.clear()
            worker.inside.clear()
            for one in [*held, *waiting]:
                yield from self._retry(one, error, incident, worker.node, alone=alone, node_lost=node_lost)
            return
        except RayError as error:  # a payload was lost with its node, or our own code failed
            worker.isolated = False
            if pool.runs_on:  # what joined before goes on in the worker; what was to join has not
                held = joining
                worker.inside = {name: one for name, one in worker.inside.items() if one not in joining}
            for one in held:
                yield from self._retry_call(one, error)
            return
        worker.isolated = alone and not worker.is_idle
        self.log_call(call)
        pool.incidents_in_a_row = 0 if held else pool.incidents_in_a_row
        for before, payload, result in zip(held, payloads, results, strict=True):
            if isinstance(result, Advance):
                # The payload stays where it was made, and the driver keeps its reference. A suspect stays in
                # quarantine at the next pool too, as it has not been cleared by surviving this stage alone.
                self._largest = max(self._largest, result.item.num_bytes)
                following = self._pools[at + 1]
                queue = following.quarantine if before.suspicions else following.queue
                queue.append(Held(item=result.item, payload=payload, node=worker.node,
                                  suspicions=before.suspicions, num_errors=before.num_errors))  # fmt: skip
            else:
                yield result

    def _retry(
        self, held: Held, error: RayError, incident: Incident, node: str | None, *, alone: bool, node_lost: bool
    ) -> Iterator[Finished]:
        """Run an item of a dead worker again from the start.

        It is the item's fault only if it was alone in the worker, nothing else died with it, and the machine lives on;
        until that is clear it runs isolated. What was on a lost machine is innocent.
        """
        again = Held(item=held.item.restarted(), suspicions=held.suspicions, num_errors=held.num_errors)
        if node_lost:
            self._pools[0].queue.append(again)
            return
        again.suspicions = [*held.suspicions, Suspicion(incident=incident, node=node, alone=alone)]
        # Only a death alone in a worker, outside a larger incident, on a node that lives on, counts against the item.
        # The bound on all deaths ends items that die again and again beside others without ever being found alone.
        guilty = [s for s in again.suspicions
                  if s.alone and s.incident.num_workers == 1 and not self._cluster.lost(s.node)]  # fmt: skip
        if len(guilty) >= MAX_DEATHS_ALONE or len(again.suspicions) >= MAX_DEATHS:
            told = f"{first_line(error)} ({len(again.suspicions)} times)"
            yield again.item.fail(Status.WORKER_DIED, told)
        else:
            self._pools[0].quarantine.append(again)

    def _retry_call(self, held: Held, error: RayError) -> Iterator[Finished]:
        """Run an item of a failed call again from the start; its worker lives on."""
        again = Held(item=held.item.restarted(), suspicions=held.suspicions, num_errors=held.num_errors)
        if not (isinstance(error, ObjectLostError) or self._cluster.lost(held.node)):
            again.num_errors += 1
        if again.num_errors >= MAX_ERRORS:
            yield again.item.fail(Status.INTERNAL_ERROR, f"{first_line(error)} ({again.num_errors} times)",
                                  trace=str(error))  # fmt: skip
        else:
            self._pools[0].queue.append(again)

    def _tune(self) -> None:
        """Let pools follow the cluster, about once a second."""
        if time.monotonic() - self._tuned < TICK_SECONDS:
            return
        self._tuned = time.monotonic()
        for pool in self._pools:
            pool.sweep()
        if self._cluster.is_local:
            return
        # A stage without a worker cannot finish anything. If the cluster gives it no place, another pool gives up one
        # worker, after its calls, and later gets the place back once the cluster has room again.
        self._tell_what_is_waited_for()
        now = self._tuned
        starved = [p for p in self._pools if now - p.without_worker_since > STARVED_SECONDS]
        if starved and now - self._lent > STARVED_SECONDS:  # one place at a time, from whichever pool has most
            self._lent = now
            next((p for p in sorted(self._pools, key=lambda p: -len(p.workers)) if p.retire_one()), None)
        there, free = self._cluster.resources(), self._cluster.free()
        for pool in self._pools:
            spec = pool.spec
            if pool.num_lent and not starved and free.num_cpus >= spec.num_cpus and free.num_gpus >= spec.num_gpus:
                pool.num_lent -= 1
            if spec.elastic and (spec.num_gpus or pool is self._pools[0]):
                others = [p for p in self._pools if p is not pool]
                pool.num_wanted = _follow(pool, there, self._begun, others)
            pool.fill()

    def _tell_what_is_waited_for(self) -> None:
        """Tell the user which stages have no worker because the cluster has no room for one."""
        now = time.monotonic()
        waiting = [p.spec for p in self._pools if now - p.without_worker_since > TELL_SECONDS]
        told = waiting_text(waiting, self._cluster.resources())
        if waiting and told != self._told:
            self.notify(told)
        self._told = told if waiting else ""


def _num_spans(some: Iterable[Held]) -> int:
    """Count items, those of a span as one."""
    return len({one.item.task.span or id(one) for one in some})


def _follow(pool: WorkerPool, there: Resources, begun: Resources, others: Sequence[WorkerPool]) -> int:
    """Count the workers that a pool should have as the cluster grows or shrinks.

    What is added goes to the models by GPUs and to the first stage by CPUs, as far as the other pools leave room. At
    least one worker is wanted, and waited for.

    Args:
        begun: what the cluster had when the pool was sized.
    """
    spec = pool.spec
    if spec.num_gpus:
        grown = (there.num_gpus - begun.num_gpus) / spec.num_gpus
        room = (there.num_gpus - sum(p.num_wanted * p.spec.num_gpus for p in others)) / spec.num_gpus
    else:
        grown = (there.num_cpus - begun.num_cpus) / spec.num_cpus
        room = (there.num_cpus - sum(p.num_wanted * p.spec.num_cpus for p in others)) / spec.num_cpus
    return max(1, int(min(spec.num_workers + grown, max(room, spec.num_workers))))


class _Room:
    """Use of each node's object store by payloads; one store can be full while others are empty."""

    def __init__(self, pools: Sequence[WorkerPool], nodes: Mapping[str, Node], largest: int) -> None:
        self.first, self.largest = pools[0], largest
        self.limits = {node: STORE_SHARE * there.store_bytes for node, there in nodes.items()}
        self.used: Counter[str | None] = Counter()
        for pool in pools:
            for held in pool.underway():
                self.used[held.node] += 0 if held.joined else held.item.num_bytes
            for worker in pool.workers:
                brought = [self._bytes(worker, one) for one in worker.held]
                self.used[worker.node] += sum(brought)

    def reserve(self, worker: Worker, held: Held) -> bool:
        """Reserve room on a worker's node for an item's frames decoded there, or for a copy of its payload.

        A node on which nothing lies, or a model without work, takes one item of any size.
        """
        added = self._bytes(worker, held)
        full = self.used[worker.node] + added > self.limits.get(worker.node or "", 0.0)
        idle = not self.used[worker.node] if held.payload is None else worker.is_idle
        if full and added and not idle:
            return False
        self.used[worker.node] += added
        return True

    def _bytes(self, worker: Worker, held: Held) -> int:
        if held.joined:
            return 0
        if held.payload is None:
            return self.largest
        return 0 if held.node == worker.node else held.item.num_bytes
