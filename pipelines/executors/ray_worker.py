"""What runs in a worker process on Ray: one stage, whose payloads travel beside their items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.stages.base import Advance, Item, StageCall, StageResult, StageSpec, run_stage
from pipelines.stages.scratch import Scratch, shared_folder
from videollm.errors import UserError


class StageWorker:
    """An actor that owns a stage."""

    def __init__(self, spec: StageSpec) -> None:
        self.spec, self.stage = spec, spec.build()
        self._copy: Scratch | None = None

    def place(self) -> tuple[str, bool]:
        """Say on which node the worker runs, and whether it sees the folder that the stage needs."""
        import ray

        return ray.get_runtime_context().get_node_id(), self.spec.folder is None or self.spec.folder.is_dir()

    def setup(self, digest: str, names: Sequence[str], *files: NDArray[np.uint8]) -> tuple[Any, UserError | None]:
        """Set the stage up.

        Args:
            digest: of the files' content.
            names: of the files of the folder that the stage needs; none where this machine sees it.
            files: their contents.
        Returns:
            What the stage says of itself, or why it cannot be set up.
        """

        def fill(folder: Path) -> None:
            for name, data in zip(names, files, strict=True):
                (folder / name).write_bytes(data.data)

        try:
            if names:
                self._copy = shared_folder(f"model-{digest}", fill)
            return self.stage.setup(None if self._copy is None else self._copy.path), None
        except UserError as error:
            return None, error

    def run(self, items: Sequence[Item], *payloads: Any) -> list[Any]:
        """Run the stage on items without payloads, and the payloads.

        Returns:
            ([a result per item, those that advance without payloads], the call), then a payload per item.
        """
        whole = [replace(item, payload=payload) for item, payload in zip(items, payloads, strict=True)]
        results, call = run_stage(self.stage, whole)
        heads: tuple[list[StageResult], StageCall] = ([_without_payload(r) for r in results], call)
        return [heads, *[r.item.payload if isinstance(r, Advance) else None for r in results]]


def _without_payload(result: StageResult) -> StageResult:
    return Advance(item=result.item.without_payload()) if isinstance(result, Advance) else result
