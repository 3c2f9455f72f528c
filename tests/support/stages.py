"""Small stages for executors: what they do to a clip stands in its name."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.requests.types import ClipTask, job_request
from pipelines.stages.base import Advance, Item, Stage, StageResult
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


def _with_payload(item: Item, num_bytes: int) -> Item:
    return replace(item, payload=np.zeros(num_bytes, np.uint8), num_bytes=num_bytes)
