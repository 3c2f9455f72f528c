"""Frames at given times."""

from __future__ import annotations

from dataclasses import dataclass

from videollm.errors import UserError
from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class AtSeconds(Sampling):
    """The frames on display at given times, each once, in the order of time."""

    seconds: tuple[float, ...] = (0.0,)
    """Times from the start of the video; those outside the clip mean its first or last frame."""

    by_time = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seconds", tuple(self.seconds))  # of JSON it is a list
        if not self.seconds:
            raise UserError(f"{self.policy}: seconds is empty; expected one time at least.")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Take the frame on display at each time."""
        shown = {min(max(frames[0], timeline.shown_at(second)), frames[-1]) for second in self.seconds}
        return Sampled(tuple(sorted(shown)))
