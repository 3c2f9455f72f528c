"""The actor of Ray Data, which runs one stage, and the table in which items travel.

No exception leaves an actor, for Ray Data answers one by giving up its block, and with it innocent items.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import ray

from pipelines.executors.local import run_stage
from pipelines.executors.ray_worker import copy_folder
from pipelines.executors.stage_process import ProcessLost, StageProcess
from pipelines.stages.base import Advance, Item, Stage, StageCall, StageResult, StageSpec
from pipelines.stages.scratch import Scratch
from videollm.errors import Status, UserError

MAX_DEATHS: Final = 3
"""Child processes that an item may take down, alone in them, before it becomes an error row."""
NO_ITEM: Final = -1
"""Number of a parcel that holds an error of the stage itself."""
SCHEMA: Final = pa.schema([("parcel", pa.binary()), ("buffers", pa.list_(pa.large_binary()))])


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """An item on its way through the actors."""

    number: int
    """Number by which the driver knows the item."""
    result: StageResult | None = None
    calls: tuple[StageCall, ...] = ()
    """Of the stages, for the driver to log; a call on several items is told by the first."""
    descriptions: dict[str, Any] = field(default_factory=dict)
    """Stage -> its description."""
    error: Exception | None = None
    """Why a stage cannot be set up, in the place of a result: the end of the job."""


def pack(parcels: Sequence[Parcel]) -> pa.Table:
    """Make a row per parcel; large arrays are buffers of their own, and are not copied when they are read."""
    heads, bodies = [], []
    for parcel in parcels:
        buffers: list[pickle.PickleBuffer] = []
        heads.append(pickle.dumps(parcel, protocol=5, buffer_callback=buffers.append))
        bodies.append([buffer.raw() for buffer in buffers])
    return pa.table({"parcel": heads, "buffers": bodies}, schema=SCHEMA)


def unpack(table: pa.Table) -> list[Parcel]:
    """Read what `pack` made."""
    heads, bodies = table.column("parcel"), table.column("buffers")
    return [
        pickle.loads(head.as_buffer(), buffers=[b.as_buffer() for b in body.values or ()])
        for head, body in zip(heads, bodies, strict=True)
    ]


class StageActor:
    """A stage, as called by Ray Data.

    Args:
        digest: of the folder that the stage needs.
        files: name -> reference to the content, of that folder's files.
    """

    def __init__(self, spec: StageSpec, digest: str, files: Mapping[str, Any]) -> None:
        self.spec = spec
        self._copy: Scratch | None = None
        self._stage: Stage | StageProcess | None = None
        self._described: Any = None
        self._error: Exception | None = None
        self._load(self._bring(digest, files))

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Take the items of a table through the stage; finished items bypass the stage."""
        parcels = unpack(table)
        yield from (pack([p]) for p in parcels if not isinstance(p.result, Advance))
        going = [(p, p.result.item) for p in parcels if isinstance(p.result, Advance)]
        results, calls = self._run([item for _, item in going])
        if self._error is not None:
            yield pack([Parcel(number=NO_ITEM, error=self._error)])
            return
        for (parcel, _), result in zip(going, results, strict=True):
            descriptions = {**parcel.descriptions, self.spec.name: self._described}
            yield pack([replace(parcel, result=result, calls=(*parcel.calls, *calls), descriptions=descriptions)])
            calls = []

    def _bring(self, digest: str, files: Mapping[str, Any]) -> Path | None:
        """Copy the stage's folder, unless this machine sees it."""
        if not files or self.spec.folder is None or self.spec.folder.is_dir():
            return None
        self._copy = copy_folder(digest, ((name, ray.get(content)) for name, content in files.items()))
        return self._copy.path

    def _load(self, folder: Path | None) -> None:
        try:
            if self.spec.stage.guards_itself:
                self._stage = self.spec.build()
                self._described = self._stage.setup(folder)
            else:
                self._stage = StageProcess(self.spec, folder)
                self._described = self._stage.setup()
        except ProcessLost as lost:
            self._error = UserError(f"A worker died while it loaded the model: {lost}")
        except Exception as error:  # the driver raises it
            self._error = error

    def _run(self, items: Sequence[Item]) -> tuple[list[StageResult], list[StageCall]]:
        """Run the stage; if its process is lost, run each item alone to find the one that kills."""
        if not items or self._error is not None:
            return [], []
        assert self._stage is not None
        if isinstance(self._stage, Stage):
            results, call = run_stage(self._stage, items)
            return results, [call]
        for deaths in range(1, MAX_DEATHS + 1):
            try:
                results, call = self._stage.run(items)
                return results, [call]
            except ProcessLost as lost:
                if len(items) > 1:
                    alone = [self._run([item]) for item in items]
                    return [r for made, _ in alone for r in made], [c for _, calls in alone for c in calls]
                if lost.status == Status.TIMEOUT or deaths == MAX_DEATHS:
                    times = f" ({deaths} times)" if deaths > 1 else ""
                    return [items[0].restarted().fail(lost.status, f"{lost}{times}")], []
            except Exception as error:  # it was set up once, and cannot be any more
                self._error = error
                break
        return [], []
