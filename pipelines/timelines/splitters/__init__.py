"""Splitters, which part a video into segments: one per file."""

from pipelines.timelines.splitters.base import SPLITTERS, SplitOptions, Splitter, split

__all__ = ["SPLITTERS", "SplitOptions", "Splitter", "split"]
