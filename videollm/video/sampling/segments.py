"""Equal segments of all frames: the rules of transformers' video processors, and of InternVL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from videollm.errors import UserError
from videollm.video.sampling.base import Sampled, Sampling
from videollm.video.sampling.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Segments(Sampling):
    """A frame of each of n equal segments."""

    num_frames: int = 8
    """Frames; a short video repeats some."""
    place: Literal["start", "middle", "rounded"] = "start"
    """Where in its segment of [0, N) a frame lies; or in the middle of one of [0, N - 1] whose start is rounded
    (InternVL's own code)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("num_frames")
        if self.place not in ("start", "middle", "rounded"):
            raise UserError(f"{self.policy}: place is {self.place!r}; expected 'start', 'middle' or 'rounded'.")

    def choose(self, timeline: Timeline, frames: range, start: float) -> Sampled:
        """Cut the places to whole numbers; in halves of segments, so that nothing is rounded before."""
        n, half = self.num_frames, int(self.place == "middle")
        if self.place == "rounded":
            size = (len(frames) - 1) / n
            return Sampled(tuple(frames[int(size / 2 + round(size * i))] for i in range(n)))
        return Sampled(tuple(frames[(2 * i + half) * len(frames) // (2 * n)] for i in range(n)))
