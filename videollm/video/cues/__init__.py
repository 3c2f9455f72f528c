"""Cues of cuts, by which shots are told apart: one kind per file."""

from videollm.video.cues.base import CUES, Cues, Cut, Picture

__all__ = ["CUES", "Cues", "Cut", "Picture"]
