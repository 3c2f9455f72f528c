"""What is known of a video before it is split: its length, its keyframes and its cuts.

UNITS  seconds count from the first displayed frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cut:
    """A place where a new shot begins."""

    seconds: float
    """Presentation time of the first frame of the new shot."""
    strength: float
    """How unlike the frames on both sides are, in units of what found the cut: more is more unlike."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is known of a video before it is split."""

    video: str
    """Path or URL."""
    video_hash: str | None
    """As `FrameBatch.video_hash`."""
    duration: float
    """Seconds from the first displayed frame to the end of the last; the sound may be longer."""
    num_frames: int
    fps: float
    """Average frames per second; times do not follow from it."""
    keyframes: tuple[float, ...] = ()
    """Presentation times of the frames at which decoding can start."""
    cues: str | None = None
    """What found the cuts; None where none were looked for."""
    cuts: tuple[Cut, ...] = ()
    """Ascending."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Survey:
        """Make a survey of what `to_dict` returned, after a way through JSON."""
        lists = {"keyframes": tuple(values["keyframes"]), "cuts": tuple(Cut(**cut) for cut in values["cuts"])}
        return Survey(**{**values, **lists})
