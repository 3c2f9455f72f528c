"""One look at the whole video, with as many frames as the LLM's context holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.timelines.questions import Question
from pipelines.timelines.strategies.base import Findings, Found, Look, Scope, Strategy


@dataclass(frozen=True, kw_only=True)
class Dense(Strategy):
    """Uniform frames up to the context: what a frame takes is told by a look with `look_frames` of them."""

    def step(self, question: Question, scope: Scope, findings: Findings) -> Sequence[Look] | Found:
        """Measure a look, then ask with as many frames as fit, see `Strategy.step`."""
        number = max(self.look_frames, math.ceil(self.scan_fps * (scope.end - scope.start)))
        number = min(number, self.max_frames)
        note = None
        if scope.context_tokens is not None:
            trial = Look(start=scope.start, end=scope.end, num_frames=self.look_frames, continuations=("Yes",))
            if trial not in findings:
                return [trial]
            taken = findings[trial]
            if taken.num_visual_tokens and taken.num_frames:
                own = (taken.num_prompt_tokens or taken.num_visual_tokens) - taken.num_visual_tokens
                left = scope.context_tokens - own - scope.max_new_tokens
                fit = math.floor(left * taken.num_frames / taken.num_visual_tokens)
                number = max(1, min(number, fit))
            else:
                number = self.look_frames
                note = f"How many frames fit is not known: {taken.error or 'no tokens were counted'}."
        return Found(final=Look(start=scope.start, end=scope.end, num_frames=number), note=note)
