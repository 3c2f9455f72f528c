"""How every executor runs a stage: a bug or a VideollmError becomes rows of the items hit."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final

from pipelines.stages.base import Finished, Item, RunningStage, Stage, StageCall, StageResult
from pipelines.stages.batching import Attempts, describe_error, trace_of
from videollm.errors import EngineLost, Status, VideollmError

SLICE_SECONDS: Final = 0.5
"""How long a running stage works on before it says what is done."""
JOIN_SECONDS: Final = 0.1
"""And how long where some items are done, and others could take their room."""


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
        """Let items join, and work until some leave and there is room for others, or for a while.

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
                least = JOIN_SECONDS if ends and self.stage.has_room else SLICE_SECONDS
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
