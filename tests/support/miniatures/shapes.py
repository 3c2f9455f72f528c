"""Miniature of the product's own clips."""

from __future__ import annotations

from pathlib import Path

from videollm.shapes.clips import Job, main


def shapes(folder: Path) -> None:
    """Two clips of the product's own."""
    main(Job(output=str(folder), num_clips=2, seed=5, seconds=2, size=96))
