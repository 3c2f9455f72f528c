"""Stages that run on: items join and leave at any time, whatever executor brings them; and items whose worker dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from pipelines.executors.base import EXECUTORS, Executor
from pipelines.executors.ray_actors import RayActors
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Item, StageSpec
from tests.support.stages import Finish, FinishInTime, Prepare, make_item
from videollm.errors import Status


@pytest.fixture(scope="module")
def ray_actors() -> Iterator[Executor]:
    """One cluster for all tests here."""
    with RayActors(Executor.Config()) as made:
        yield made


@pytest.fixture(params=["local", "ray_actors"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "ray_actors":
        yield request.getfixturevalue("ray_actors")
        return
    with EXECUTORS.load(request.param)(Executor.Config()) as made:
        yield made


def rows_of(executor: Executor, items: list[Item], last: StageSpec) -> list[ResultRow]:
    stages = [StageSpec(stage=Prepare, config=1000, num_workers=2), last]
    return [row for end in executor.run(stages, iter(items)) if end is not None for row in end.rows]


def in_time(num_workers: int = 1, **config: Any) -> StageSpec:
    config = FinishInTime.Config(**config)
    return StageSpec(stage=FinishInTime, config=config, batch_size=4, num_workers=num_workers)


def test_items_join_while_others_are_inside(executor: Executor) -> None:
    rows = rows_of(executor, [make_item(i) for i in range(60)], in_time(waits=True))
    assert Counter(r.id for r in rows) == Counter(str(i) for i in range(60))
    assert {r.status for r in rows} == {Status.OK}
    together = [int(str(r.answer)) for r in rows]
    assert max(together) >= 8  # more than came in one call
    assert max(together) <= 8 + 4 - 1  # a call may bring a batch where there is room for one


def test_a_fault_of_the_stage_ends_those_inside_alone(executor: Executor) -> None:
    items = [make_item(i, "fault" if i == 30 else "bad" if i == 5 else "") for i in range(60)]
    rows = {r.id: r for r in rows_of(executor, items, in_time())}
    assert len(rows) == 60
    assert rows["5"].status == Status.NO_VIDEO
    assert rows["30"].status == Status.INTERNAL_ERROR
    failed = [r for r in rows.values() if r.status == Status.INTERNAL_ERROR]
    assert len(failed) < 12
    assert sum(r.status == Status.OK for r in rows.values()) == 59 - len(failed)


def test_items_inside_a_worker_that_dies_come_back(ray_actors: Executor) -> None:
    rows = rows_of(ray_actors, [make_item(i, "kill" if i == 27 else "") for i in range(60)], in_time(num_workers=2))
    assert Counter(r.id for r in rows) == Counter(str(i) for i in range(60))
    died = {r.id for r in rows if r.status == Status.WORKER_DIED}
    assert died == {"27"}
    assert {r.status for r in rows if r.id not in died} == {Status.OK}


def test_all_calls_of_a_worker_that_dies_come_back(ray_actors: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls are under way in a worker when it dies, and the driver hears of one after the other."""
    wait = ray.wait

    def hear_of_one(refs: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        ready, rest = wait(refs, **options)
        return ready[:1], [*ready[1:], *rest]

    monkeypatch.setattr(ray, "wait", hear_of_one)
    items = [make_item(i, "kill" if i % 20 == 7 else "") for i in range(40)]
    rows = rows_of(ray_actors, items, StageSpec(stage=Finish, config=None, batch_size=2, num_workers=1))
    assert Counter(r.id for r in rows) == Counter(str(i) for i in range(40))
    died = {r.id for r in rows if r.status == Status.WORKER_DIED}
    assert died == {"7", "27"}
    assert {r.status for r in rows if r.id not in died} == {Status.OK}
