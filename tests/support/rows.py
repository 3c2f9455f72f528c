"""Rows of a job's output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.results.journal import read_rows


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    rows = list(read_rows(folder))
    assert len({r["id"] for r in rows}) == len(rows)
    return {r["id"]: r for r in rows}
