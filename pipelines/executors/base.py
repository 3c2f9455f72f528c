"""Executors, which run stages on items, in this process or on a cluster.

An executor knows nothing of models, rows or connectors: it builds stages from their specs, calls `run_stage`, moves
payloads, and gives up on items that keep killing their workers (`Item.fail`).
"""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from connectors.registry import Table
from pipelines.stages.base import Finished, Item, StageCall, StageSpec
from videollm.errors import UserError

LOGGER: Final = logging.getLogger("pipelines.executors")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """CPUs and GPUs to run on."""

    num_cpus: int
    num_gpus: float


class Source:
    """Items of a job, a span at a time: what one call of the first stage takes together."""

    def __init__(self, items: Iterator[Item | None]) -> None:
        self._items = items
        self._ahead: Item | None = None
        """The first item of the next span."""
        self.ended = False
        """Whether all items were taken."""

    def take(self) -> list[Item]:
        """Take the items of a span; [] where there are none, for now or for good."""
        taken = [] if self._ahead is None else [self._ahead]
        self._ahead = None
        while not taken or taken[0].task.span is not None:
            try:
                item = next(self._items)
            except StopIteration:
                self.ended = True
                return taken
            if item is None:
                return taken
            if taken and item.task.span != taken[0].task.span:
                self._ahead = item
                return taken
            taken.append(item)
        return taken


class Executor(ABC):
    """Runs items through stages; use it as a context manager."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where stages run."""

        address: str | None = None
        """A Ray cluster to join; None is this machine."""
        module: str | None = None
        """A module besides our own packages whose code the workers need (that of `--connector pkg.mod:Class`)."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.notify: Callable[[str], None] = LOGGER.warning
        """Is told what `describe` and `run` wait for, where the cluster has no room yet."""
        self.busy_seconds: dict[str, float] = defaultdict(float)
        """Stage -> seconds that its workers ran, all together."""
        self._counting = threading.Lock()

    @abstractmethod
    def __enter__(self) -> Executor:
        """Start or join the cluster, where there is one.

        Raises:
            UserError: there is no such cluster.
        """

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """End all workers."""

    @abstractmethod
    def resources(self) -> Resources:
        """Return the CPUs and GPUs of the machine, or of the cluster."""

    @abstractmethod
    def describe(self, stage: StageSpec) -> Any:
        """Return what `Stage.setup` returned in a worker of the stage.

        Waits for one such worker, before or after `run`, which uses the workers that are there.

        Raises:
            UserError: the stage cannot be set up.
        """

    @abstractmethod
    def run(self, stages: Sequence[StageSpec], items: Iterator[Item | None]) -> Iterator[Finished | None]:
        """Take every item through all stages.

        Workers of early stages begin while those of later ones are still being set up. A worker's death is charged to
        the items that it held: they start again, each alone, and those that keep killing workers become rows.

        Args:
            stages: the first takes items as they come, the last gives rows of all that reach it.
            items: taken as the workers need them, so that what is under way is bounded; None is for now, where others
                depend on results that are yet to come.
        Returns:
            Each item's end, as soon as it comes, in any order; None every second or so, to redraw.
        Raises:
            UserError: a stage cannot be set up.
        """

    def queue_lengths(self) -> dict[str, int]:
        """Count the items that wait for each stage, by stage name, while `run` is under way."""
        return {}

    def publish(self, values: Mapping[tuple[str, str], float]) -> None:  # noqa: B027 (most machines collect none)
        """Publish metrics where the cluster collects metrics.

        Args:
            values: (name, kind) -> number: ("rows", "ok"), ("waiting", "Decode"), ...
        """

    def log_call(self, call: StageCall) -> None:
        """Log and count one call of a stage; executors do so on the driver for every call."""
        with self._counting:
            self.busy_seconds[call.stage] += call.seconds
        LOGGER.info("stage call", extra={"fields": asdict(call)})


EXECUTORS: Final[Table[Executor]] = Table(
    noun="executor",
    group="videollm.executors",
    base="pipelines.executors.base:Executor",
    builtin={
        "local": "pipelines.executors.local:Local",
        "ray_actors": "pipelines.executors.ray_actors:RayActors",
        "ray_data": "pipelines.executors.ray_data:RayData",
    },
    error=UserError,
)
"""Executors by name, imported when used: importing Ray takes a second."""


def num_cpus_here() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_gpus_here() -> float:
    """Count the GPUs of this machine; import torch only where there may be one."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0.0
    import torch

    return float(torch.cuda.device_count())
