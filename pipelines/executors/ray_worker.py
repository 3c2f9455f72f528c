"""The worker process on Ray, which runs one stage; payloads travel beside their items; and the stage's folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from pipelines.executors.local import RunningWork, run_stage
from pipelines.stages.base import Advance, Finished, Item, RunningStage, StageCall, StageResult, StageSpec
from pipelines.stages.scratch import Scratch, shared_folder
from videollm.errors import EngineLost, UserError
from videollm.io import quick_hash


class StageWorker:
    """An actor that owns a stage."""

    def __init__(self, spec: StageSpec) -> None:
        self.spec, self.stage = spec, spec.build()
        self._work = RunningWork(self.stage) if isinstance(self.stage, RunningStage) else None
        self._copy: Scratch | None = None

    def place(self) -> tuple[str, bool]:
        """Return the node of the worker, and whether the worker sees the stage's folder."""
        return ray.get_runtime_context().get_node_id(), self.spec.folder is None or self.spec.folder.is_dir()

    def setup(self, digest: str, names: Sequence[str], *files: NDArray[np.uint8]) -> tuple[Any, UserError | None]:
        """Set up the stage.

        Args:
            digest: of the files' content.
            names: of the files of the folder that the stage needs; none where this machine sees it.
            files: their contents.
        Returns:
            The description from the stage, or why it cannot be set up.
        """
        try:
            if names:
                self._copy = copy_folder(digest, zip(names, files, strict=True))
            return self.stage.setup(None if self._copy is None else self._copy.path), None
        except UserError as error:
            return None, error

    def run(self, items: Sequence[Item], *payloads: Any) -> list[Any]:
        """Run the stage on items without payloads, and the payloads.

        Returns:
            ([a result per item, those that advance without payloads], the call), then a payload per item.
        """
        whole = [replace(item, payload=payload) for item, payload in zip(items, payloads, strict=True)]
        try:
            results, call = run_stage(self.stage, whole)
        except EngineLost as error:
            raise SystemExit(str(error)) from error  # the end of this worker: another one is started
        heads: tuple[list[StageResult], StageCall] = ([_without_payload(r) for r in results], call)
        return [heads, *[r.item.payload if isinstance(r, Advance) else None for r in results]]

    def work(
        self, names: Sequence[int], items: Sequence[Item], *payloads: Any
    ) -> tuple[dict[int, Finished], StageCall, bool]:
        """Let items join the stage, which runs on, and work for a while.

        Args:
            names: of the items.
            items: without payloads.
            payloads: of each.
        Returns:
            The ends of those that left, what is to be logged, and whether the stage has room for others.
        """
        assert self._work is not None
        whole = [replace(item, payload=payload) for item, payload in zip(items, payloads, strict=True)]
        try:
            ends, call = self._work.work(dict(zip(names, whole, strict=True)))
        except EngineLost as error:
            raise SystemExit(str(error)) from error  # the end of this worker: another one is started
        return ends, call, self._work.stage.has_room


def put_folder(folder: Path | None) -> tuple[str, dict[str, Any]]:
    """Put the files of a folder into the object store.

    Returns:
        Digest of the content, and name -> reference to the file's content.
    """
    paths = sorted(f for f in folder.iterdir() if f.is_file()) if folder is not None else []
    digest = sha256("".join(f"{path.name}/{quick_hash(path)}/" for path in paths).encode()).hexdigest()
    return digest, {path.name: ray.put(np.fromfile(path, np.uint8)) for path in paths}


def copy_folder(digest: str, files: Iterable[tuple[str, NDArray[np.uint8]]]) -> Scratch:
    """Write a folder that was put into the object store, once per machine.

    Args:
        files: names and contents; taken only where no other worker has written them.
    """

    def fill(folder: Path) -> None:
        for name, data in files:
            (folder / name).write_bytes(data.data)

    return shared_folder(f"model-{digest}", fill)


def _without_payload(result: StageResult) -> StageResult:
    return Advance(item=result.item.without_payload()) if isinstance(result, Advance) else result
