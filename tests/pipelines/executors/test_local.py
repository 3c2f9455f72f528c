"""The executor in this process, with stages that need no model."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.executors.base import EXECUTORS, Executor
from pipelines.executors.local import MAX_ITEMS, Local
from pipelines.requests.types import ClipTask, job_request
from pipelines.stages.base import Advance, Finished, Item, Stage, StageResult, StageSpec
from videollm.errors import Status, UserError, VideoError
from videollm.types import Answer, Clip, Request


def item(i: int) -> Item:
    request = job_request(Request(id=str(i), clip=Clip(video=f"{i}.mp4"), question="What?"), f"{i}.mp4")
    return Item(task=ClipTask(clip=request.clip, requests=(request,)), model="m", connector="c")


class First(Stage):
    """Fails where its config says; the config's lists show what happened."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def setup(self, folder: Path | None = None) -> None:
        self.config.setdefault("threads", []).append(threading.current_thread())

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        for i in items:
            self.config.setdefault("taken", []).append(i.task.clip.video)
            if i.task.clip.video == self.config.get("bug"):
                raise KeyError("a bug of ours")
            if i.task.clip.video == self.config.get("bad"):
                raise VideoError(Status.NO_VIDEO, "no video in it")
        return [Advance(item=i) for i in items]

    def teardown(self) -> None:
        self.config.setdefault("ended", []).append(threading.current_thread())


class Last(First):
    def setup(self, folder: Path | None = None) -> str:
        super().setup(folder)
        if "problem" in self.config:
            raise UserError(self.config["problem"])
        while len(self.config.get("wait_for", ())) < self.config.get("ahead", 0):
            time.sleep(0.01)
        return "described"

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        self.config.setdefault("batches", []).append(len(items))
        made = Answer(text="a", prompt="p", finish_reason="stop", num_visual_tokens=1)
        return [i.finish([i.answered(r, made, 0.1) for r in i.task.requests]) for i in items]


def stages(first: dict[str, Any], last: dict[str, Any], num_workers: int = 2) -> list[StageSpec]:
    return [
        StageSpec(stage=First, config=first, num_workers=num_workers),
        StageSpec(stage=Last, config=last, batch_size=4),
    ]


def run(specs: list[StageSpec], num_items: int) -> list[Finished]:
    with Local(Executor.Config()) as executor:
        return [f for f in executor.run(specs, (item(i) for i in range(num_items))) if f is not None]


def test_every_item_ends_once_and_workers_are_torn_down() -> None:
    first: dict[str, Any] = {"taken": []}
    last: dict[str, Any] = {"wait_for": first["taken"], "ahead": 6}
    ends = run(stages(first, last), 50)
    assert sorted(int(row.id) for end in ends for row in end.rows) == list(range(50))
    assert {row.status for end in ends for row in end.rows} == {Status.OK}
    assert len(first["threads"]) == len(set(first["threads"])) == 2
    assert set(first["ended"]) == set(first["threads"])  # the thread that starts a child process ends it
    assert last["threads"] == last["ended"] == [threading.current_thread()]
    assert max(last["batches"]) > 1


def test_bugs_and_bad_clips_end_alone() -> None:
    ends = run(stages({"bug": "3.mp4", "bad": "5.mp4"}, {}), 8)
    rows = {row.id: row for end in ends for row in end.rows}
    assert len(rows) == 8
    assert (rows["5"].status, rows["5"].error) == (Status.NO_VIDEO, "no video in it")
    assert (rows["3"].status, rows["3"].error) == (Status.INTERNAL_ERROR, "KeyError: 'a bug of ours'")
    (trace,) = [end.trace for end in ends if end.trace]
    assert "in run" in trace
    assert "KeyError" in trace
    assert sum(row.status == Status.OK for row in rows.values()) == 6


def test_early_stages_begin_while_the_last_is_set_up_and_are_bounded() -> None:
    first: dict[str, Any] = {"taken": []}
    ends = run(stages(first, {"wait_for": first["taken"], "ahead": 6}), 200)
    assert len(ends) == 200
    executor, pulled = Local(Executor.Config()), iter(range(10 * MAX_ITEMS))
    with executor:
        running = executor.run(stages({}, {}), (item(i) for i in pulled))
        assert next(end for end in running if end is not None)
        time.sleep(0.3)
        assert next(pulled) < MAX_ITEMS + 14  # what waits and what is under way, not all there is
        running.close()  # type: ignore[attr-defined]


def test_a_stage_that_cannot_be_set_up_ends_the_run() -> None:
    with pytest.raises(UserError, match="no such model"):
        run(stages({}, {"problem": "no such model"}), 100)
    broken = StageSpec(stage=Last, config={"problem": "no decoder"}, num_workers=2)
    with pytest.raises(UserError, match="no decoder"):
        run([broken, StageSpec(stage=Last, config={})], 100)


def test_describing_sets_up_once() -> None:
    last: dict[str, Any] = {}
    specs = stages({}, last)
    with Local(Executor.Config()) as executor:
        assert executor.describe(specs[-1]) == "described"
        assert len([end for end in executor.run(specs, (item(i) for i in range(3))) if end is not None]) == 3
        assert executor.describe(specs[-1]) == "described"
    assert len(last["threads"]) == 1


def test_executors_have_names() -> None:
    assert EXECUTORS.load("local") is Local
    assert EXECUTORS.load("pipelines.executors.local:Local") is Local
    for wrong in ("locall", "pipelines.executors.local:TICK_SECONDS", "no.such:Thing"):
        with pytest.raises(UserError, match=wrong):
            EXECUTORS.load(wrong)
    with pytest.raises(UserError, match="--address"):
        Local(Executor.Config(address="auto"))
