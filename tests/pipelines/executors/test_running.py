"""Stages that run on: items join and leave at any time, whatever executor brings them."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelines.executors.base import EXECUTORS, Executor
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Item, StageSpec
from tests.support.stages import FinishInTime, Prepare, make_item
from videollm.errors import Status


def rows_of(executor: str, items: list[Item], *, most: int = 8, num_workers: int = 1) -> list[ResultRow]:
    stages = [
        StageSpec(stage=Prepare, config=1000, num_workers=2),
        StageSpec(stage=FinishInTime, config=most, batch_size=4, num_workers=num_workers),
    ]
    with EXECUTORS.load(executor)(Executor.Config()) as running:
        return [row for end in running.run(stages, iter(items)) if end is not None for row in end.rows]


@pytest.mark.parametrize("executor", ["local", "ray_actors"])
def test_items_join_while_others_are_inside(executor: str) -> None:
    rows = rows_of(executor, [make_item(i) for i in range(60)])
    assert Counter(r.id for r in rows) == Counter(str(i) for i in range(60))
    assert {r.status for r in rows} == {Status.OK}
    together = [int(str(r.answer)) for r in rows]
    assert max(together) > 4  # more than came in one call
    assert max(together) <= 8 + 4 - 1  # a call may bring a batch where there is room for one


@pytest.mark.parametrize("executor", ["local", "ray_actors"])
def test_a_fault_of_the_stage_ends_those_inside_alone(executor: str) -> None:
    items = [make_item(i, "fault" if i == 30 else "bad" if i == 5 else "") for i in range(60)]
    rows = {r.id: r for r in rows_of(executor, items)}
    assert len(rows) == 60
    assert rows["5"].status == Status.NO_VIDEO
    assert rows["30"].status == Status.INTERNAL_ERROR
    failed = [r for r in rows.values() if r.status == Status.INTERNAL_ERROR]
    assert len(failed) < 12
    assert sum(r.status == Status.OK for r in rows.values()) == 59 - len(failed)


def test_items_inside_a_worker_that_dies_come_back() -> None:
    items = [make_item(i, "kill" if i == 27 else "") for i in range(60)]
    rows = rows_of("ray_actors", items, num_workers=2)
    assert Counter(r.id for r in rows) == Counter(str(i) for i in range(60))
    died = {r.id for r in rows if r.status == Status.WORKER_DIED}
    assert died == {"27"}
    assert {r.status for r in rows if r.id not in died} == {Status.OK}
