"""Prompts in a running batch: those that wait in groups, and those under way, each with a row of its own."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from videollm.engines import packing
from videollm.engines.layers import States
from videollm.engines.pools import Place, row_width
from videollm.engines.prompt import Prefix, Prompt


@dataclass(eq=False, kw_only=True)
class Group:
    """Prompts that share what they begin with, and wait to be fed."""

    visual: Prefix
    prompts: Sequence[Prompt]
    num_shared: int
    """Tokens that they share."""

    @property
    def own_lengths(self) -> list[int]:
        """Most tokens that follow the shared ones, of each prompt."""
        return [len(p.ids) - self.num_shared + p.budget for p in self.prompts]

    @property
    def rows(self) -> list[int]:
        """Widths of all rows for what follows the shared tokens."""
        lengths = zip(self.prompts, self.own_lengths, strict=True)
        return [row_width(n) for p, n in lengths for _ in range(p.num_rows)]

    @property
    def num_tokens(self) -> int:
        """Tokens that rows are kept for."""
        return row_width(self.num_shared) + sum(self.rows)


@dataclass(eq=False, kw_only=True)
class Question:
    """A prompt under way, or one branch of the continuations that are scored behind it."""

    prompt: Prompt
    num_shared: int
    shared: Place | None
    """Row of what it shares with other questions, if anything."""
    own: Place
    states: States | None = None
    """Of recurrent layers, until they lie among the others'."""
    branch: Sequence[int] = ()
    """What is fed behind the prompt."""

    @property
    def depth(self) -> int:
        """Tokens that were fed behind the prompt; below 0, those of the prompt that were not fed yet."""
        return self.num_shared + self.own.length - len(self.prompt.ids)

    @property
    def rest(self) -> Sequence[int]:
        """Own tokens of the prompt that are not fed yet, or else of the branch."""
        return self.prompt.ids[self.depth :] if self.depth < 0 else self.branch[self.depth :]

    def next_positions(self, number: int) -> Sequence[packing.Position]:
        """Return the positions of the next tokens of `rest`."""
        if self.depth < 0:
            return self.prompt.positions[self.depth - 1 :][:number]
        return [packing.further(self.prompt.positions[-1], self.depth + i) for i in range(number)]

    def num_wanted(self, number: int) -> int:
        """Count the tokens whose logits are wanted, the last ones, if so many are fed."""
        return number if self.depth >= 0 else int(number == -self.depth)

    def fork(self) -> list[Question]:
        """Go on with the first branch of the prompt's continuations, if any, and make a question of each other one."""
        assert self.prompt.scoring is not None
        if not self.prompt.scoring.branches:
            return []
        self.branch, *others = self.prompt.scoring.branches
        places = self.own.pool.copies(self.own, len(others))
        return [
            Question(
                prompt=self.prompt,
                num_shared=self.num_shared,
                shared=self.shared,
                own=place,
                states=deepcopy(self.states),
                branch=branch,
            )
            for place, branch in zip(places, others, strict=True)
        ]
