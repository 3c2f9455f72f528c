"""looks.jsonl: what was found in which windows, so that a search that was broken off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pipelines.requests.types import JobRequest
from pipelines.timelines.strategies.base import Finding, Look

NAME: Final = "looks.jsonl"


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


class Looks:
    """The looks of a job's output, of which the job holds the lock."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self, wanted: Iterable[JobRequest]) -> dict[str, dict[Look, Finding]]:
        """Read the findings of some requests, by id; a line that was cut off while written is none."""
        asked = {request.id: request.fingerprint for request in wanted}
        found: dict[str, dict[Look, Finding]] = {id: {} for id in asked}
        if not found or not self._path.exists():
            return found
        with self._path.open("rb") as file:
            for line in file:
                try:
                    value: dict[str, Any] = json.loads(line)
                except ValueError:
                    continue
                # A request that was not answered yet may ask something else by now.
                if asked.get(value["id"]) == value["fingerprint"] and value["finding"]["error"] is None:
                    found[value["id"]][Look(**_tuples(value["look"]))] = Finding(**_tuples(value["finding"]))
        return found

    def add(self, request: JobRequest, look: Look, finding: Finding) -> None:
        """Write what was found for a request."""
        names = {"id": request.id, "fingerprint": request.fingerprint}
        line = json.dumps({**names, "look": asdict(look), "finding": asdict(finding)})
        with self._path.open("ab") as file:
            file.write(b"\n" * self._is_torn() + line.encode("ascii") + b"\n")

    def _is_torn(self) -> bool:
        """Tell whether the last line was cut off while written."""
        if not self._path.exists() or not (size := self._path.stat().st_size):
            return False
        with self._path.open("rb") as file:
            file.seek(size - 1)
            return file.read(1) != b"\n"
