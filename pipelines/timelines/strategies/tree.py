"""Coarse windows first; the best ones are split until they are as short as a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.timelines.questions import Question
from pipelines.timelines.strategies.base import Findings, Found, Look, Scope
from pipelines.timelines.strategies.mapreduce import MapReduce


@dataclass(frozen=True, kw_only=True)
class Tree(MapReduce):
    """Logarithmic in the video's length; it finds only what shows at the coarse distance between frames, too."""

    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Ask the windows of the coarsest level that is not asked yet, see `Strategy.step`."""
        length = self.look_seconds
        while (scope.end - scope.start) / length > self.fan * self.keep:
            length *= self.fan
        of_probe = {text: self.windows(scope, length) for text in question.probes}
        while True:
            looks = [self.probe(text, window) for text, windows in of_probe.items() for window in windows]
            if missing := [look for look in looks if look not in findings]:
                return missing
            if length <= self.look_seconds:
                return self.conclude(question, scope, looks, findings)
            length = max(self.look_seconds, length / self.fan)
            for text, windows in of_probe.items():
                margins = {w: findings[self.probe(text, w)].margin for w in windows}
                best = sorted((w for w in windows if margins[w] is not None), key=lambda w: (-(margins[w] or 0), w))
                parts = [Scope(start=w[0], end=w[1]) for w in sorted(best[: self.keep])]
                of_probe[text] = [inner for part in parts for inner in self.windows(part, length)]
