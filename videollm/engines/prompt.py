"""What an engine is given: prompts, and the visual tokens of the clip that they are about.

SHAPES  n visual tokens, d LLM width, l layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from videollm.engines import packing
from videollm.engines.scoring import Scoring
from videollm.engines.streaming import Text


@dataclass(kw_only=True)
class Prompt:
    """One prompt and what was generated for it so far."""

    ids: Sequence[int]
    positions: Sequence[packing.Position]
    """Of every token, and last that of the first token to be generated."""
    key: str
    budget: int
    """Tokens it may still be given in all."""
    text: Text | None
    """Kept only where stop strings or streaming need it."""
    owner: int = 0
    scoring: Scoring | None = None
    """Continuations to score, in the place of an answer."""
    generated: list[int] = field(default_factory=list)
    finish_reason: str = ""
    num_streamed: int = 0
    """Characters of the text that were passed on."""

    @property
    def num_rows(self) -> int:
        """Rows for what follows the part that prompts share: one, or one for each branch of its continuations."""
        return 1 if self.scoring is None else max(1, len(self.scoring.branches))

    @property
    def newest_position(self) -> packing.Position:
        """Position of the token generated last."""
        return packing.further(self.positions[-1], len(self.generated) - 1)

    def take(self, token: int, end_ids: frozenset[int]) -> None:
        """Append a generated token, or finish."""
        if token in end_ids:
            self.finish_reason = "stop"
            return
        self.generated.append(token)
        if self.text is not None:
            self.text.add(token)
            if self.text.end is not None:
                self.finish_reason = "stop_string"
        if not self.finish_reason and len(self.generated) >= self.budget:
            self.finish_reason = "length"

    def stream(self, on_text: Callable[[str], None]) -> None:
        """Pass on the new part of the text; of a prompt that is scored there is none."""
        if self.scoring is not None:
            return
        assert self.text is not None
        text = self.text.final() if self.finish_reason else self.text.ready()
        if len(text) > self.num_streamed:
            on_text(text[self.num_streamed :])
            self.num_streamed = len(text)


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """Visual tokens of a clip, as they enter the LLM."""

    tokens: Tensor
    """(n d)."""
    deep: Tensor | None = None
    """(l n d), added to the hidden states of the visual tokens after each of the first l layers."""
