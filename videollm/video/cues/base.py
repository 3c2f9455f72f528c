"""The interface of what finds cuts, and the table of it.

SHAPES  h w pixels, c colour channels (RGB).
UNITS   seconds count from the first displayed frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from connectors.registry import Table
from videollm.errors import UserError
from videollm.video.file_timeline import FileTimeline

Picture = tuple[float, NDArray[np.uint8]]
"""Presentation time of a frame, and the frame (h w c)."""


@dataclass(frozen=True)
class Cut:
    """A place where a new shot begins."""

    seconds: float
    """Presentation time of the first frame of the new shot; in the middle of a dissolve."""
    strength: float
    """How unlike the frames on both sides are, in units of what found the cut: more is more unlike."""


class Cues(ABC):
    """A way to find cuts.

    Raises:
        UserError: (when it is made) a package that it takes is not installed.
    """

    size: ClassVar[tuple[int, int] | None] = None
    """(h, w) of the pictures that it looks at; None decodes nothing."""

    @abstractmethod
    def find(self, timeline: FileTimeline, pictures: Iterable[Picture]) -> list[Cut]:
        """Find the cuts of a video.

        Args:
            timeline: when the frames are shown.
            pictures: all frames that can be decoded, scaled to `size`, in display order; it is iterated once at most.
        Returns:
            Cuts, ascending.
        Raises:
            VideoError: this video has no such cues.
        """


CUES: Final[Table[Cues]] = Table(
    noun="cue of cuts",
    group="videollm.cues",
    base="videollm.video.cues.base:Cues",
    error=UserError,
    builtin={
        "pixels": "videollm.video.cues.pixels:Pixels",
        "keyframes": "videollm.video.cues.keyframes:Keyframes",
        "pyscenedetect": "videollm.video.cues.pyscenedetect:PySceneDetect",
        "transnetv2": "videollm.video.cues.transnetv2:TransNetV2",
    },
)
