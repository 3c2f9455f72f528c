"""What the Ray executor takes from its source: no worker of the first stage waits while a span is under way."""

from __future__ import annotations

from collections import deque
from typing import Any

from pipelines.executors.base import Executor, Source
from pipelines.executors.ray_actors import RayActors
from pipelines.requests.types import ClipTask, job_request
from pipelines.stages.base import Item
from videollm.types import Clip, Request


class Pool:
    """As much of a WorkerPool as feeding asks."""

    def __init__(self, num_workers: int) -> None:
        self.workers = [object()] * num_workers
        self.queue: deque[Any] = deque()
        self.spec = type("Spec", (), {"batch_size": 2})()

    def free_calls(self) -> int:
        return 2 * len(self.workers)

    def underway(self) -> list[Any]:
        return [*self.queue]


def test_a_span_counts_as_one() -> None:
    clip = Clip(video="v.mp4")
    request = job_request(Request(id="v", clip=clip, question="What?"), clip.video)
    tasks = [ClipTask(clip=clip, requests=(request,), span=f"v:{i // 64}") for i in range(64 * 9)]
    executor, first = RayActors(Executor.Config()), Pool(2)
    executor._pools = [first, Pool(1)]  # type: ignore[list-item]
    executor._feed(Source(Item(task=task, model="m", connector="c") for task in tasks))
    spans = [held.span for held in first.queue]
    assert spans == [f"v:{i // 64}" for i in range(64 * 4)], "a span for each call that the workers are free for"
