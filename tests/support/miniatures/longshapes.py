"""Miniature of the product's own long videos."""

from __future__ import annotations

from pathlib import Path

from videollm.shapes.long import LongConfig, write_long


def longshapes(folder: Path) -> None:
    """A long video of 15 s with its controls."""
    write_long(folder, LongConfig(minutes=(0.25,), num_clips=1, seconds=0.75))
