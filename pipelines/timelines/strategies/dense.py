"""One look at the whole video, with as many frames as the LLM's context holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.timelines.questions import Question
from pipelines.timelines.strategies.base import Finding, Findings, Found, Look, Scope, Strategy


@dataclass(frozen=True, kw_only=True)
class Dense(Strategy):
    """Uniform frames up to the context: what a frame takes is told by looks with few of them."""

    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Measure two looks, then ask with as many frames as fit, see `Strategy.step`."""
        number = max(self.look_frames, math.ceil(self.scan_fps * (scope.end - scope.start)))
        number = min(number, self.max_frames)
        note = None
        if scope.context_tokens is not None:
            # Two looks tell what a frame takes, with the text that some models write beside it, and what the rest does.
            many = Look(start=scope.start, end=scope.end, num_frames=self.look_frames, continuations=("Yes",))
            few = replace(many, num_frames=max(1, self.look_frames // 2))
            if missing := [look for look in dict.fromkeys((few, many)) if look not in findings]:
                return missing
            fit, note = _fit(findings[few], findings[many], scope.context_tokens - scope.max_new_tokens)
            number = self.look_frames if fit is None else max(1, min(number, fit))
        return Found(final=Look(start=scope.start, end=scope.end, num_frames=number), note=note)


def _fit(few: Finding, many: Finding, num_tokens: int) -> tuple[int | None, str | None]:
    """Return how many frames fit into so many tokens; None, and why, where that is not known."""
    error = few.error or many.error
    if error or not (few.num_prompt_tokens and many.num_frames and many.num_visual_tokens and many.num_prompt_tokens):
        return None, f"How many frames fit is not known: {error or 'no tokens were counted'}."
    each = many.num_visual_tokens / many.num_frames
    if many.num_frames > few.num_frames:
        each = max(each, (many.num_prompt_tokens - few.num_prompt_tokens) / (many.num_frames - few.num_frames))
    return math.floor((num_tokens - many.num_prompt_tokens) / each + many.num_frames), None
