"""Small stages for executors: what they do to a clip stands in its name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.requests.types import ClipTask, job_request
from pipelines.stages.base import Advance, Finished, Item, RunningStage, Stage, StageResult
from videollm.errors import Status, UserError, VideoError
from videollm.types import Answer, Clip, Request


def make_item(number: int, does: str = "") -> Item:
    """An item whose clip makes a stage do something: `bug`, `bad`, `kill`, `raise`, `hang`, or nothing."""
    request = job_request(
        Request(id=str(number), clip=Clip(video=f"{does}{number}.mp4"), question="What?"), f"{number}.mp4"
    )
    return Item(task=ClipTask(clip=request.clip, requests=(request,)), model="m", connector="c")


class Prepare(Stage):
    """Gives items a payload; the config is the number of its bytes."""

    guards_itself = True

    def __init__(self, config: int) -> None:
        self.config = config

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        for item in items:
            if item.task.clip.video.startswith("bug"):
                raise KeyError("a bug of ours")
            if item.task.clip.video.startswith("bad"):
                raise VideoError(Status.NO_VIDEO, "no video in it")
        return [Advance(item=_with_payload(i, self.config)) for i in items]


class Finish(Stage):
    """Finishes items; the config is why it cannot be set up, if it cannot."""

    def __init__(self, config: str | None) -> None:
        self.config = config

    def setup(self, folder: Path | None = None) -> str:
        if self.config is not None:
            raise UserError(self.config)
        return "described"

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        for item in items:
            if item.task.clip.video.startswith("kill"):
                os._exit(42)
            if item.task.clip.video.startswith("hang"):
                time.sleep(1000)
        made = Answer(text=str(len(items)), prompt="p", finish_reason="stop", num_visual_tokens=1)
        return [i.finish([i.answered(r, made, 0.1) for r in i.task.requests]) for i in items]


class FinishInTime(RunningStage):
    """Finishes each item after some pieces of work, beside others.

    An item's answer is the most that were inside while it was.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        most: int = 8
        """Items inside, as many as there is room for."""
        waits: bool = False
        """Whether no item ends before the stage was full once, however slowly they come (for a minute at most)."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.waits_until: float | None = None if config.waits else 0.0
        self.inside: dict[int, tuple[Item, int, int]] = {}
        """By name: the item, pieces of work that are left, and the most items so far."""

    @property
    def num_items(self) -> int:
        return len(self.inside)

    @property
    def has_room(self) -> bool:
        return len(self.inside) < self.config.most

    def add(self, items: Mapping[int, Item]) -> None:
        if self.waits_until is None:
            self.waits_until = time.monotonic() + 60
        for name, item in items.items():
            assert isinstance(item.payload, np.ndarray), "an item came without its payload"
            number = int(re.findall(r"[0-9]+", item.task.clip.video)[0])
            self.inside[name] = (item, 1 + number % 5, 0)

    def advance(self) -> dict[int, Finished]:
        time.sleep(0.02)
        if not self.has_room:
            self.waits_until = 0.0
        waits = time.monotonic() < (self.waits_until or 0.0)
        ends: dict[int, Finished] = {}
        for name, (item, left, most) in list(self.inside.items()):
            if item.task.clip.video.startswith("kill"):
                os._exit(42)
            if item.task.clip.video.startswith("fault"):
                raise KeyError("a bug of ours")
            most = max(most, len(self.inside))
            left -= not waits
            self.inside[name] = (item, left, most)
            if left == 0:
                made = Answer(text=str(most), prompt="p", finish_reason="stop", num_visual_tokens=1)
                ends[name] = item.finish([item.answered(r, made, 0.1) for r in item.task.requests])
        for name in ends:
            del self.inside[name]
        return ends

    def clear(self) -> None:
        self.inside.clear()


def _with_payload(item: Item, num_bytes: int) -> Item:
    return replace(item, payload=np.zeros(num_bytes, np.uint8), num_bytes=num_bytes)
