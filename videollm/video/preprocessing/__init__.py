"""From decoded frames to the pictures that a vision tower takes: one way per file. Nothing here decodes."""

from videollm.video.preprocessing.base import PREPROCESSINGS, Group, Preprocessing, Shape
from videollm.video.preprocessing.frame_size import FrameSize

__all__ = ["PREPROCESSINGS", "FrameSize", "Group", "Preprocessing", "Shape"]
