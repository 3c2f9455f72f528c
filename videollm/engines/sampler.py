"""Next tokens from logits: greedy, or sampled so that an answer depends on nothing but its own request.

SHAPES  m prompts, g tokens generated so far, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from videollm.engines.settings import check_generation
from videollm.types import Generation
from videollm.upload import upload


class Sampler:
    """Chooses the next token of many prompts at once, as `generation` says.

    The penalty is transformers' own, of generated tokens only; the filters are transformers', in its order.

    Raises:
        UserError: a setting is out of its range.
    """

    def __init__(self, generation: Generation) -> None:
        check_generation(generation)
        self.seed = generation.seed
        self.greedy = generation.temperature == 0
        self.penalty = float(generation.repetition_penalty)
        self.processors = LogitsProcessorList()
        if not self.greedy:
            self.processors.append(TemperatureLogitsWarper(float(generation.temperature)))
            if generation.top_k:
                self.processors.append(TopKLogitsWarper(generation.top_k))
            if generation.top_p < 1:
                self.processors.append(TopPLogitsWarper(generation.top_p))

    def __call__(self, logits: Tensor, generated: Sequence[Sequence[int]], keys: Sequence[str]) -> list[int]:
        """Choose one token per prompt.

        Args:
            logits: (m v).
            generated: m lists of token ids, of any lengths g.
            keys: m names that, with the seed and g, fix the random numbers.
        """
        scores = logits.float()
        if self.penalty != 1:
            scores = self._penalised(scores, generated)
        if self.processors:
            scores = self.processors(None, scores)  # type: ignore[arg-type]  # these look at the scores alone
        if self.greedy:
            return [int(i) for i in scores.argmax(-1).tolist()]
        # Every token owns an interval of [0, 1) as long as its probability; the token drawn is the one whose interval
        # holds a number that the seed, the request and the step fix. In double and in vocabulary order: rounding that
        # differs between batches moves an interval by 1e-7; sorting by probability could swap two tokens outright.
        cumulative = scores.softmax(-1).double().cumsum(-1)
        drawn = [[uniform(self.seed, key, len(g))] for key, g in zip(keys, generated, strict=True)]
        points = upload(torch.tensor(drawn, dtype=torch.float64), logits.device) * cumulative[:, -1:]
        return [int(i) for i in torch.searchsorted(cumulative, points, right=True)[:, 0].tolist()]

    def _penalised(self, scores: Tensor, generated: Sequence[Sequence[int]]) -> Tensor:
        """Divide the scores of tokens already generated, or multiply those below 0 (arXiv:1909.05858)."""
        pairs = [(i, token) for i, tokens in enumerate(generated) for token in set(tokens)]
        if not pairs:
            return scores
        rows, tokens = upload(torch.tensor(pairs), scores.device).T
        found = scores[rows, tokens]
        return scores.index_put((rows, tokens), torch.where(found < 0, found * self.penalty, found / self.penalty))


def uniform(seed: int, key: str, step: int) -> float:
    """Hash the arguments to a number in [0, 1): no generator to keep, and the same on every machine."""
    digest = blake2b(f"{seed}/{step}/{key}".encode(errors="backslashreplace"), digest_size=4).digest()
    return int.from_bytes(digest, "little") / 2**32
