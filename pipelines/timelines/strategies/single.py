"""One look at the whole video, by the model's own choice of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.timelines.questions import Question
from pipelines.timelines.strategies.base import Findings, Found, Look, Scope, Strategy


@dataclass(frozen=True, kw_only=True)
class Single(Strategy):
    """Ask once, as a job without a strategy does."""

    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Look at the whole, see `Strategy.step`."""
        return Found(final=Look(start=scope.start, end=scope.end))
