"""Every window is asked whether the answer is there; the windows that say yes are the evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase
from typing import Final

from pipelines.timelines.questions import Question
from pipelines.timelines.strategies.base import Findings, Found, Look, Scope, Strategy
from pipelines.timelines.strategies.evidence import (
    NOTHING,
    Scored,
    conclude_count,
    conclude_exists,
    conclude_order,
    conclude_when,
    evidence,
    nearest_pair,
)

MAX_VOTES: Final = 4
"""Windows in which the options of a question are scored."""
REFINED: Final = 4
"""Parts of a window of the evidence that are asked again where times are the answer."""


@dataclass(frozen=True, kw_only=True)
class MapReduce(Strategy):
    """Windows of `look_seconds` with `look_frames` frames, all of them."""

    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Ask all windows, then conclude, see `Strategy.step`."""
        windows = self.windows(scope)
        looks = [self.probe(text, window) for text in question.probes for window in windows]
        if missing := [look for look in looks if look not in findings]:
            return missing
        return self.conclude(question, scope, looks, findings)

    def conclude(
        self, question: Question, scope: Scope, looks: Sequence[Look], findings: Findings
    ) -> Sequence[Look] | Found:
        """Make an answer of windows that were asked the question's probes.

        Args:
            looks: that were asked, each of one of the probes.
        """
        scored = [
            [
                Scored(start=look.start, end=look.end, score=margin)
                for look in looks
                if look.ask == text and (margin := findings[look].margin) is not None
            ]
            for text in question.probes
        ]
        if question.kind == "exists":
            return conclude_exists(question, scored[0])
        if question.kind == "count":
            return conclude_count(question, scored[0])
        if question.kind == "order":
            return conclude_order(question, scored, self._within(scope, scored))
        if question.kind == "when":
            return self._refine(question, scored[0], findings)
        if len(scored) == 2 and (between := nearest_pair(*scored)) is not None:
            start, end, found = between
            return Found(final=Look(start=start, end=end, num_frames=self.look_frames), evidence=found)
        return self._ask_best(question, scope, scored[0], findings)

    def _within(self, scope: Scope, scored: Sequence[Sequence[Scored]]) -> Look:
        """Look at the window in which two things are likeliest, or at the whole where there is none."""
        best = max((w for windows in scored for w in windows), key=lambda w: w.score, default=None)
        if best is None or best.score <= 0:
            return Look(start=scope.start, end=scope.end)
        return Look(start=best.start, end=best.end, num_frames=self.look_frames)

    def _refine(self, question: Question, scored: Sequence[Scored], findings: Findings) -> Sequence[Look] | Found:
        """Ask parts of the best run, so that its times are narrower than a window."""
        found = evidence(scored)
        if not found:
            return conclude_when(question, scored)
        best = found[0]
        parts = REFINED * max(1, round((best.end - best.start) / self.look_seconds))
        step = (best.end - best.start) / parts
        bounds = [best.start + i * step for i in range(parts)] + [best.end]
        looks = [self.probe(question.probes[0], part) for part in pairwise(bounds)]
        if missing := [look for look in looks if look not in findings]:
            return missing
        narrow = [
            Scored(start=look.start, end=look.end, score=margin)
            for look in looks
            if (margin := findings[look].margin) is not None
        ]
        narrowed = conclude_when(question, narrow)
        return narrowed if narrowed.evidence else conclude_when(question, scored)

    def _ask_best(
        self, question: Question, scope: Scope, scored: Sequence[Scored], findings: Findings
    ) -> Sequence[Look] | Found:
        """Ask the request itself in the best window; with options, in the best one that is for the winner of a vote."""
        found = evidence(scored)
        if not found:
            return Found(final=Look(start=scope.start, end=scope.end), note=NOTHING)
        best = sorted((w for w in scored if w.score > 0), key=lambda w: (-w.score, w.start))
        finals = [Look(start=w.start, end=w.end, num_frames=self.look_frames) for w in best]
        if len(question.options) < 2 or len(best) < 2 or not question.lettered:
            return Found(final=finals[0], evidence=found)
        letters = tuple(ascii_uppercase[: len(question.options)])
        votes = [
            Look(start=look.start, end=look.end, num_frames=look.num_frames, continuations=letters)
            for look in finals[:MAX_VOTES]
        ]
        if missing := [look for look in votes if look not in findings]:
            return missing
        shares = [_softmax(findings[look].scores) for look in votes]
        weights = [1 / (1 + math.exp(-window.score)) for window in best]
        told = [(weight, share) for weight, share in zip(weights, shares, strict=False) if share]
        winner = max(range(len(letters)), key=lambda i: sum(weight * share[i] for weight, share in told))
        agreeing = (look for look, share in zip(finals, shares, strict=False) if share and share[winner] == max(share))
        return Found(final=next(agreeing, finals[0]), evidence=found)


def _softmax(scores: Sequence[float]) -> list[float]:
    most = max(scores, default=0.0)
    shares = [math.exp(score - most) for score in scores]
    return [share / sum(shares) for share in shares]
