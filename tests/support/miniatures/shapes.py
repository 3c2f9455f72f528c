"""Miniature of the product's own clips."""

from __future__ import annotations

from pathlib import Path

from videollm.shapes.clips import ClipsConfig, write_clips


def shapes(folder: Path) -> None:
    """Two clips of the product's own."""
    write_clips(folder, ClipsConfig(num_clips=2, seed=5, seconds=2, size=96))
