"""Ray Data on a real local Ray: whatever an item does, it ends once, and its neighbours are unharmed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from pipelines.executors.base import Executor
from pipelines.executors.ray_data import RayData
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Item, StageSpec
from tests.support.stages import Finish, Prepare, make_item
from videollm.errors import Status, UserError


@pytest.fixture(scope="module")
def executor() -> Iterator[RayData]:
    with RayData(Executor.Config()) as made:
        yield made


def stages(timeout_seconds: float = 600.0) -> list[StageSpec]:
    return [
        StageSpec(stage=Prepare, config=100_000, num_workers=2),
        StageSpec(stage=Finish, config=None, batch_size=4, timeout_seconds=timeout_seconds),
    ]


def run(executor: Executor, specs: list[StageSpec], items: list[Item]) -> dict[str, ResultRow]:
    rows = [r for end in executor.run(specs, iter(items)) if end is not None for r in end.rows]
    assert Counter(r.id for r in rows) == Counter(r.id for i in items for r in i.task.requests)
    return {r.id: r for r in rows}


def processes(name: str) -> list[psutil.Process]:
    """Processes below this one whose command holds a name."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_whatever_an_item_does_it_ends_once_and_alone(executor: RayData) -> None:
    does = {3: "bug", 5: "bad", 8: "kill", 12: "hang", 13: "kill"}
    rows = run(executor, stages(timeout_seconds=3.0), [make_item(i, does.get(i, "")) for i in range(40)])
    assert (rows["3"].status, rows["3"].error) == (Status.INTERNAL_ERROR, "KeyError: 'a bug of ours'")
    assert (rows["5"].status, rows["5"].error) == (Status.NO_VIDEO, "no video in it")
    died = "Finish: worker died, exit code 42 (3 times)"
    assert (rows["8"].status, rows["8"].error) == (rows["13"].status, rows["13"].error) == (Status.WORKER_DIED, died)
    assert (rows["12"].status, rows["12"].error) == (Status.TIMEOUT, "Finish: no answer after 3s")
    assert {r.status for i, r in rows.items() if int(i) not in does} == {Status.OK}
    assert any(r.answer == "4" for r in rows.values())  # whole batches, where nothing goes wrong
    assert executor.describe(stages(timeout_seconds=3.0)[1]) == "described"


def test_processes_that_are_killed_lose_nothing(executor: RayData) -> None:
    running = executor.run(stages(), (make_item(i) for i in range(300)))
    ends = [next(end for end in running if end is not None)]
    for name in ("stage_process", "MapBatches(Finish)", "MapBatches(Prepare)"):
        victims = processes(name)
        assert victims
        for victim in victims:
            victim.kill()
        ends.append(next(end for end in running if end is not None))
    ends += [end for end in running if end is not None]
    assert Counter(r.id for end in ends for r in end.rows) == Counter(map(str, range(300)))
    assert {r.status for end in ends for r in end.rows} == {Status.OK}


def test_a_run_that_is_left_ends_its_actors(executor: RayData) -> None:
    running = executor.run(stages(), (make_item(i) for i in range(300)))
    next(end for end in running if end is not None)
    running.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60
    while processes("MapBatches"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_stage_that_cannot_be_set_up_ends_the_run(executor: RayData) -> None:
    broken = StageSpec(stage=Finish, config="no such model")
    with pytest.raises(UserError, match="no such model"):
        run(executor, [stages()[0], broken], [make_item(i) for i in range(5)])
    with pytest.raises(UserError, match="no such model"):
        RayData(Executor.Config()).describe(broken)
