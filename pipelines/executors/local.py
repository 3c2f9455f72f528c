"""Stages in this process: their calls, shared by the workers of every executor, and the local executor.

It has threads for the first stages, and runs the last one in the caller's thread. It is for one clip, small jobs, dry
runs, tests and debuggers: nothing is started or imported but what the stages need.
Decoding is as safe as elsewhere, for its stage owns a child process; a clip that ends the process that holds the model
ends the job, which then goes on with another executor.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, pairwise
from typing import Any, Final

from pipelines.executors.base import Executor, Resources, Source, num_cpus_here, num_gpus_here
from pipelines.stages.base import Advance, Finished, Item, RunningStage, Stage, StageCall, StageResult, StageSpec
from pipelines.stages.batching import Attempts, describe_error, trace_of
from videollm.errors import EngineLost, Status, UserError, VideollmError

MAX_ITEMS: Final = 256
"""Items that wait for one stage, at most: what is decoded while a large model loads."""
MAX_BYTES: Final = 2**30
"""Payloads that wait for one stage, unless a single one is larger."""
TICK_SECONDS: Final = 1.0
END_SECONDS: Final = 2.0
"""How long threads are waited for after an interruption; one that decodes would end with its clip."""

WAIT_SECONDS: Final = 0.02
"""After which a thread asks again for items that there were none of."""
SLICE_SECONDS: Final = 0.5
"""How long a running stage works on before it says what is done."""
JOIN_SECONDS: Final = 0.05
"""And how long where it has room for others."""


def run_stage(stage: Stage, items: Sequence[Item]) -> tuple[list[StageResult], StageCall]:
    """Call a stage once, on items that all end, or go on, before it returns."""
    began, start = time.time(), time.perf_counter()
    attempts: Attempts[Item, StageResult] = Attempts(items)
    for some in attempts:
        with attempts:
            made = stage.run(some)
            if len(made) != len(some):
                raise RuntimeError(f"{type(stage).__name__} gave {len(made)} results for {len(some)} items.")
            attempts.add(made)
    results: list[StageResult] = []
    for item, outcome in zip(items, attempts.outcomes, strict=True):
        if isinstance(outcome, VideollmError):
            results.append(item.fail(outcome.status, str(outcome)))
        elif isinstance(outcome, Exception):
            results.append(item.fail(Status.INTERNAL_ERROR, describe_error(outcome), trace=trace_of(outcome)))
        else:
            results.append(outcome)
    return results, _describe(stage, began, time.perf_counter() - start, len(items), results)


class RunningWork:
    """A running stage with the items that are in it."""

    def __init__(self, stage: RunningStage) -> None:
        self.stage = stage
        self.inside: dict[int, Item] = {}
        """Without their payloads."""

    def work(self, items: Mapping[int, Item]) -> tuple[dict[int, Finished], StageCall]:
        """Let items join, and work for a while, a short one if there is room for others.

        Args:
            items: by names of the executor's.
        Returns:
            The ends of those that left, and what is to be logged.
        """
        began, start = time.time(), time.perf_counter()
        self.inside |= {name: item.without_payload() for name, item in items.items()}
        ends: dict[int, Finished] = {}
        try:
            if items:
                self.stage.add(items)
            while self.stage.num_items:
                ends |= self.stage.advance()
                least = JOIN_SECONDS if self.stage.has_room else SLICE_SECONDS
                if time.perf_counter() - start > least:
                    break
        except EngineLost:
            raise
        except Exception as error:  # a bug, for what may go wrong with single items is dealt with by the stage
            self.stage.clear()
            ends |= {
                name: item.fail(Status.INTERNAL_ERROR, describe_error(error), trace=trace_of(error))
                for name, item in self.inside.items()
                if name not in ends
            }
        for name in ends:
            del self.inside[name]
        return ends, _describe(self.stage, began, time.perf_counter() - start, len(items), [*ends.values()])


def _describe(stage: Stage, began: float, seconds: float, num_items: int, results: Sequence[StageResult]) -> StageCall:
    finished = [r for r in results if isinstance(r, Finished)]
    return StageCall(
        stage=type(stage).__name__,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        began=began,
        seconds=seconds,
        num_items=num_items,
        num_finished=len(finished),
        num_failed=sum(row.status != Status.OK for f in finished for row in f.rows),
    )


class Local(Executor):
    """Stages in threads of this process."""

    def __init__(self, config: Executor.Config) -> None:
        super().__init__(config)
        if config.address is not None:
            raise UserError(f"--executor local runs in this process; got --address {config.address}. Leave one out.")
        self._set_up: list[tuple[StageSpec, Stage, Any]] = []
        """Stages of the caller's thread, with their descriptions."""
        self._channels: dict[str, _Channel] = {}

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        for _spec, stage, _description in self._set_up:
            stage.teardown()
        self._set_up = []

    def resources(self) -> Resources:
        """Return the CPUs of this process and the GPUs of this machine."""
        return Resources(num_cpus=num_cpus_here(), num_gpus=num_gpus_here())

    def describe(self, stage: StageSpec) -> Any:
        """Set up the stage in the caller's thread."""
        return self._stage(stage)[1]

    def queue_lengths(self) -> dict[str, int]:
        """Count the items that wait for each stage but the first."""
        return {name: len(channel) for name, channel in self._channels.items()}

    def run(self, stages: Sequence[StageSpec], items: Iterator[Item | None]) -> Iterator[Finished | None]:
        """Run the first stages in threads, and set up and run the last stage in this thread."""
        # A bounded channel stands between two stages. Its limit, two batches of the later stage, keeps that stage
        # supplied while the earlier one cannot decode the whole job ahead.
        source = _Source(items)
        inputs: _Source | _Channel = source
        threads = []
        for spec, following in pairwise(stages):
            channel = _Channel(num_writers=spec.num_workers, limit=max(MAX_ITEMS, 2 * following.batch_size))
            self._channels[following.name] = channel
            threads += [
                threading.Thread(target=_work, args=(self, spec, inputs, channel), name=spec.name, daemon=True)
                for _ in range(spec.num_workers)
            ]
            inputs = channel
        try:
            # The early stages run while this thread sets up the last stage, which loads the model.
            for thread in threads:
                thread.start()
            yield from self._run_last(stages[-1], inputs)
        finally:
            # Also after an interruption or an error of the caller: writers that wait for room are woken and end. A
            # thread inside a decode cannot be woken; as a daemon thread it does not keep the process alive.
            source.close()
            for channel in self._channels.values():
                channel.close()
            deadline = time.monotonic() + END_SECONDS
            for thread in threads:
                thread.join(timeout=max(0.0, deadline - time.monotonic()))
            self._channels = {}

    def _run_last(self, spec: StageSpec, inputs: _Source | _Channel) -> Iterator[Finished | None]:
        stage, _ = self._stage(spec)
        if isinstance(stage, RunningStage):
            yield from self._run_on(RunningWork(stage), spec.batch_size, inputs)
            return
        # `take` returns an empty list after a tick without results: the caller redraws then, and sees Ctrl-C.
        while (taken := inputs.take(spec.batch_size, timeout=TICK_SECONDS)) is not None:
            for result in self._through(stage, taken):
                if isinstance(result, Advance):
                    raise TypeError(f"{spec.name} is the last stage, and gave an item that goes on.")
                yield result
            if not taken:
                yield None

    def _run_on(self, work: RunningWork, batch_size: int, inputs: _Source | _Channel) -> Iterator[Finished | None]:
        names = count()
        while True:
            # An idle stage waits for items; one at work takes those that are there, if they are of use to it.
            idle = not work.inside
            taken: list[StageResult] | None = []
            if idle or work.stage.has_room:
                taken = inputs.take(batch_size, timeout=TICK_SECONDS if idle else 0)
            if taken is None and idle:
                return
            yield from (r for r in taken or [] if isinstance(r, Finished))
            items = {next(names): r.item for r in taken or [] if isinstance(r, Advance)}
            if items or work.inside:
                ends, call = work.work(items)
                self.log_call(call)
                yield from ends.values()
            yield None

    def _through(self, stage: Stage, taken: Sequence[StageResult]) -> Iterator[StageResult]:
        """Run a stage on the items that go on; results that are finished bypass the stage."""
        yield from (r for r in taken if isinstance(r, Finished))
        if items := [r.item for r in taken if isinstance(r, Advance)]:
            results, call = run_stage(stage, items)
            self.log_call(call)
            yield from results

    def _stage(self, spec: StageSpec) -> tuple[Stage, Any]:
        """Return a stage of the caller's thread, set up once, and its description."""
        for known, stage, description in self._set_up:
            if known == spec:
                return stage, description
        stage = spec.build()
        description = stage.setup(spec.folder)
        self._set_up.append((spec, stage, description))
        return stage, description


def _work(executor: Local, spec: StageSpec, inputs: _Source | _Channel, outputs: _Channel) -> None:
    """Run an early stage in its own thread until its inputs end."""
    stage = spec.build()
    try:
        stage.setup(spec.folder)
        while (taken := inputs.take(spec.batch_size, timeout=None)) is not None:
            for result in executor._through(stage, taken):
                outputs.put(result)
    except _Closed:
        pass
    except BaseException as error:
        outputs.fail(error)
    finally:
        stage.teardown()
        outputs.end_writer()


class _Closed(Exception):  # noqa: N818 (no error: the run was ended)
    """The end of a run: results are no longer taken."""


class _Source:
    """Items of the job, shared by the threads of the first stage."""

    def __init__(self, items: Iterator[Item | None]) -> None:
        self._source, self._lock, self._closed = Source(items), threading.Lock(), False

    def take(self, limit: int, timeout: float | None) -> list[StageResult] | None:
        """Take at most `limit` items, or one span; an empty list after the timeout, and None after the last."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._closed:
            taken: list[StageResult] = []
            with self._lock:
                while len(taken) < limit and (items := self._source.take()):
                    taken += [Advance(item=item) for item in items]
                if not taken and self._source.ended:
                    return None
            if taken or time.monotonic() >= deadline:
                return taken
            time.sleep(WAIT_SECONDS)
        return None

    def close(self) -> None:
        """Give no more items."""
        self._closed = True


class _Channel:
    """Results on the way to the next stage, bounded in number and in bytes."""

    def __init__(self, *, num_writers: int, limit: int) -> None:
        self._num_writers, self._limit = num_writers, limit
        self._results: deque[StageResult] = deque()
        self._num_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._results)

    def put(self, result: StageResult) -> None:
        """Wait for room, and add a result."""
        num_bytes = result.item.num_bytes if isinstance(result, Advance) else 0
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(num_bytes))
            if self._closed:
                raise _Closed
            self._results.append(result)
            self._num_bytes += num_bytes
            self._changed.notify_all()

    def take(self, limit: int, timeout: float | None) -> list[StageResult] | None:
        """Take at most `limit` results; an empty list after the timeout, and None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._results or self._error or not self._num_writers, timeout)
            if self._error is not None:
                raise self._error
            if not self._results and not self._num_writers:
                return None
            taken = [self._results.popleft() for _ in range(min(limit, len(self._results)))]
            self._num_bytes -= sum(r.item.num_bytes for r in taken if isinstance(r, Advance))
            self._changed.notify_all()
            return taken

    def fail(self, error: BaseException) -> None:
        """Let `take` raise a writer's error."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def end_writer(self) -> None:
        """Count a writer as done."""
        with self._changed:
            self._num_writers -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the writers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, num_bytes: int) -> bool:
        return not self._results or (len(self._results) < self._limit and self._num_bytes + num_bytes <= MAX_BYTES)
