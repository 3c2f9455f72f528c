"""Every window is scored, and the model is asked once, with frames of the best windows and some of the whole video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.timelines.questions import Question
from pipelines.timelines.strategies.base import Evidence, Findings, Found, Look, Scope, Strategy


@dataclass(frozen=True, kw_only=True)
class Select(Strategy):
    """`select_frames` frames: three quarters in the best windows, which do not touch, one quarter spread evenly."""

    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Ask all windows, then the request itself of the frames chosen, see `Strategy.step`."""
        windows = self.windows(scope)
        looks = [self.probe(text, window) for text in question.probes for window in windows]
        if missing := [look for look in looks if look not in findings]:
            return missing
        # The score of a window is that of the probe that is surest of it; of two that touch only the better one stays.
        scores = [max((m for p in question.probes if (m := findings[self.probe(p, w)].margin) is not None),
                      default=float("-inf")) for w in windows]  # fmt: skip
        peaks: list[int] = []
        for i in sorted(range(len(windows)), key=lambda i: (-scores[i], i)):
            if not any(abs(i - peak) == 1 for peak in peaks) and scores[i] > float("-inf"):
                peaks.append(i)
        anchors = max(1, self.select_frames // 4)
        each = min(self.look_frames, self.select_frames - anchors)
        chosen = peaks[: max(1, (self.select_frames - anchors) // max(1, each))]
        times = [t for i in chosen for t in _spread(*windows[i], each)]
        anchors = self.select_frames - len(times)
        times += _spread(scope.start, scope.end, anchors)
        final = Look(start=scope.start, end=scope.end, seconds=tuple(sorted(set(times))))
        found = [Evidence(start=windows[i][0], end=windows[i][1], score=scores[i]) for i in chosen if scores[i] > 0]
        return Found(final=final, evidence=tuple(found))


def _spread(start: float, end: float, number: int) -> list[float]:
    """Return the centres of equal parts."""
    return [start + (end - start) * (i + 0.5) / number for i in range(number)]
