"""Plain Ray actors on a real local Ray."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import ray

from pipelines.executors.base import Executor
from pipelines.executors.ray_actors import RayActors
from pipelines.stages.base import StageSpec
from tests.support.stages import Finish, Prepare, make_item
from videollm.errors import Status


def test_all_calls_of_a_worker_that_dies_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls are under way in a worker when it dies, and the driver hears of one after the other."""
    wait = ray.wait

    def hear_of_one(refs: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        ready, rest = wait(refs, **options)
        return ready[:1], [*ready[1:], *rest]

    monkeypatch.setattr(ray, "wait", hear_of_one)
    stages = [
        StageSpec(stage=Prepare, config=1000, num_workers=2),
        StageSpec(stage=Finish, config=None, batch_size=2, num_workers=1),
    ]
    items = [make_item(i, "kill" if i % 20 == 7 else "") for i in range(80)]
    with RayActors(Executor.Config()) as executor:
        rows = [r for end in executor.run(stages, iter(items)) if end is not None for r in end.rows]
    assert Counter(r.id for r in rows) == Counter(str(i) for i in range(80))
    died = {r.id for r in rows if r.status == Status.WORKER_DIED}
    assert died == {"7", "27", "47", "67"}
    assert {r.status for r in rows if r.id not in died} == {Status.OK}
