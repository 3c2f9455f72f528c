"""The interface of a strategy, and the table of strategies: policies that say where to look, and read nothing.

A strategy is asked again and again, with all that was found so far, until it has an answer: what it says depends on
nothing else, so a search that was broken off goes on where it was.

UNITS  seconds count from the start of the video; scores are natural logarithms.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from connectors.registry import Table
from pipelines.timelines.questions import NO, YES, Question
from pipelines.timelines.segments import MIN_SECONDS
from videollm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Look:
    """A window of a video, and what is asked there."""

    start: float
    end: float
    num_frames: int | None = None
    """Frames, evenly spread; None is the model's own choice."""
    seconds: tuple[float, ...] = ()
    """Times of the frames, where they are not evenly spread."""
    ask: str | None = None
    """A text; None is the request itself."""
    continuations: tuple[str, ...] = ()
    """Texts to score in the place of an answer."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What came of a look."""

    scores: tuple[float, ...] = ()
    """Log-likelihoods of its continuations; () where it failed, or was asked for an answer."""
    num_frames: int = 0
    num_visual_tokens: int | None = None
    num_prompt_tokens: int | None = None
    error: str | None = None
    video_hash: str | None = None
    """Of the video that was looked at."""

    @property
    def margin(self) -> float | None:
        """How much more likely yes is than no; None where the look failed."""
        if not self.scores:
            return None
        yes, no = self.scores[: len(YES)], self.scores[len(YES) :]
        return _log_sum(yes) - _log_sum(no)


Findings = Mapping[Look, Finding]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A part of the video that speaks for the answer."""

    start: float
    end: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """The end of a search."""

    text: str | None = None
    """The answer, where the evidence alone gives it."""
    final: Look | None = None
    """Else the window in which the request itself is asked."""
    evidence: tuple[Evidence, ...] = ()
    """The best first."""
    note: str | None = None
    """What should be known of the answer."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is searched, and what there is to search it with."""

    start: float
    end: float
    context_tokens: int | None = None
    """That the LLM takes and gives together."""
    max_new_tokens: int = 256


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A way to search."""

    look_seconds: float = 16.0
    """Length of a window."""
    look_frames: int = 8
    """Frames of a window."""
    max_frames: int = 512
    """Frames that the model is shown at once, at most (`dense`)."""
    scan_fps: float = 1.0
    """Frames per second, at most (`dense`)."""
    keep: int = 2
    """Windows that are split on each level (`tree`)."""
    fan: int = 4
    """Parts into which a window is split (`tree`)."""
    select_frames: int = 16
    """Frames that are chosen from all that were scanned (`select`)."""

    def __post_init__(self) -> None:
        for name in ("look_seconds", "look_frames", "max_frames", "scan_fps", "keep", "fan", "select_frames"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"--{name.replace('_', '-')} is {value}; expected a number above 0.")
        if self.look_seconds < MIN_SECONDS:
            raise UserError(f"--look-seconds is {self.look_seconds:g}; expected {MIN_SECONDS:g} or more.")
        if self.fan < 2:
            raise UserError(f"--fan is {self.fan}; expected 2 or more: parts into which a window is split.")

    def plan(self, question: Question, scope: Scope) -> Sequence[Look] | Found:
        """Say where to look first."""
        return self.step(question, scope, {})

    @abstractmethod
    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Say where to look next, or what the answer is.

        Args:
            question: what is asked.
            scope: the video.
            findings: of all looks that were asked for; failed ones among them.
        Returns:
            Looks that are not among the findings, at least one; or the end.
        """

    def windows(self, scope: Scope, seconds: float | None = None) -> list[tuple[float, float]]:
        """Tile the video by windows of a length, or of `look_seconds`; a remainder under half joins the last."""
        length = seconds or self.look_seconds
        number = max(1, math.floor((scope.end - scope.start) / length + 0.5))
        bounds = [scope.start + i * length for i in range(number)] + [scope.end]
        return list(pairwise(bounds))

    def probe(self, text: str, window: tuple[float, float]) -> Look:
        """Ask a question of yes or no of a window."""
        return Look(start=window[0], end=window[1], num_frames=self.look_frames, ask=text, continuations=(*YES, *NO))


STRATEGIES: Final[Table[Strategy]] = Table(
    noun="strategy",
    group="videollm.strategies",
    base="pipelines.timelines.strategies.base:Strategy",
    error=UserError,
    builtin={
        "auto": "pipelines.timelines.strategies.auto:Auto",
        "single": "pipelines.timelines.strategies.single:Single",
        "dense": "pipelines.timelines.strategies.dense:Dense",
        "select": "pipelines.timelines.strategies.select:Select",
        "mapreduce": "pipelines.timelines.strategies.mapreduce:MapReduce",
        "tree": "pipelines.timelines.strategies.tree:Tree",
    },
)


def load_strategy(name: str, settings: Mapping[str, Any]) -> Strategy:
    """Make the strategy of a name.

    Raises:
        UserError: there is none, it has no such setting, or a value does not suit.
    """
    return STRATEGIES.load(name)(**settings)


def _log_sum(values: Sequence[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values)) if most > -math.inf else most
