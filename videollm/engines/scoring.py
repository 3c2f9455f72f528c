"""Log-likelihoods of texts behind a prompt, from the logits of the tokens that are fed.

The tokens of a text are those that it is made of by itself. What must be fed for them, behind the prompt, are all but
the last of each: the texts are the paths of a tree, whose branches are fed side by side.

SHAPES  k tokens whose logits are known, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

SCORED: Final = "scored"
"""Finish reason of a prompt whose continuations were scored, and that has no answer."""
_ROWS: Final = 64
"""Rows of logits that are turned into float32 at once."""


@dataclass(kw_only=True)
class Scoring:
    """The continuations of a prompt, and what is known of their likelihoods so far."""

    continuations: tuple[tuple[int, ...], ...]
    """Token ids of each; none is empty."""
    branches: tuple[tuple[int, ...], ...] = field(init=False)
    """Tokens to feed behind the prompt, in rows side by side; none where each continuation is one token."""
    known: dict[tuple[int, int], float] = field(default_factory=dict)
    """(continuation, its token) -> log-probability."""

    def __post_init__(self) -> None:
        # All but the last token of each continuation; what another one begins with needs no row of its own. In order,
        # a beginning stands right before what it begins.
        fed = sorted({ids[:-1] for ids in self.continuations})
        later = [*fed[1:], ()]
        self.branches = tuple(f for f, after in zip(fed, later, strict=True) if after[: len(f)] != f)

    @property
    def longest(self) -> int:
        """Tokens of the longest branch."""
        return max(map(len, self.branches), default=0)

    @property
    def scores(self) -> tuple[float, ...]:
        """Sum of the log-probabilities of each continuation's tokens, once all of them are known."""
        return tuple(sum(self.known[i, at] for at in range(len(ids))) for i, ids in enumerate(self.continuations))

    def wanted(self, branch: Sequence[int], depth: int) -> Iterator[tuple[tuple[int, int], int]]:
        """List what the logits behind the first `depth` tokens of a branch tell: a key of `known`, and its token."""
        before = tuple(branch[:depth])
        for i, ids in enumerate(self.continuations):
            if len(ids) > depth and ids[:depth] == before and (i, depth) not in self.known:
                yield (i, depth), ids[depth]


def take(places: Sequence[tuple[Scoring, Sequence[int], int]], logits: Tensor) -> None:
    """Take note of the log-probabilities that logits hold: natural logarithm, softmax at temperature 1.

    Args:
        places: for each row of logits the prompt, the branch behind it, and how many tokens of the branch were fed.
        logits: (k v).
    """
    found = [
        (scoring, key, row, token)
        for row, (scoring, branch, depth) in enumerate(places)
        for key, token in scoring.wanted(branch, depth)
    ]
    if not found:
        return
    sums = torch.cat([some.float().logsumexp(-1) for some in logits.split(_ROWS)])
    rows, tokens = torch.tensor([[row, token] for *_, row, token in found], device=logits.device).T
    values = (logits[rows, tokens].float() - sums[rows]).tolist()
    for (scoring, key, *_), value in zip(found, values, strict=True):
        scoring.known.setdefault(key, value)
