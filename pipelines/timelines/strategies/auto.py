"""The strategy that suits a question: uniform frames for the whole, a search for what shows in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipelines.timelines.questions import Question
from pipelines.timelines.strategies.base import Findings, Found, Look, Scope, Strategy
from pipelines.timelines.strategies.dense import Dense
from pipelines.timelines.strategies.mapreduce import MapReduce
from pipelines.timelines.strategies.single import Single


@dataclass(frozen=True, kw_only=True)
class Auto(Strategy):
    """One look at what is short, `dense` where the whole is asked about, `mapreduce` for the rest.

    Search pays where the answer shows in one place (DIG's rule); for the whole, uniform frames do as well.
    """

    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Do as the strategy chosen does, see `Strategy.step`."""
        return self.chosen(question, scope).step(question, scope, findings)

    def chosen(self, question: Question, scope: Scope) -> Strategy:
        """Choose the strategy of a question."""
        settings = asdict(self)
        if scope.end - scope.start <= self.look_seconds:
            return Single(**settings)
        return Dense(**settings) if question.kind == "global" else MapReduce(**settings)
