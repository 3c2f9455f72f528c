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
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from videollm.engines.settings import check_generation
from videollm.types import Generation


class Sampler:
    """Chooses the next token of many prompts at once, as `generation` says.

    The penalty and the filters are transformers' own, in its order; the penalty sees generated tokens only.

    Raises:
        UserError: a setting is out of its range.
    """

    def __init__(self, generation: Generation) -> None:
        check_generation(generation)
        self.seed = generation.seed
        self.greedy = generation.temperature == 0
        self.processors = LogitsProcessorList()
        if generation.repetition_penalty != 1:
            self.processors.append(RepetitionPenaltyLogitsProcessor(float(generation.repetition_penalty)))
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
            generated: m lists of g token ids, all of one length.
            keys: m names that, with the seed and g, fix the random numbers.
        """
        scores = logits.float()
        if self.processors:
            ids = torch.tensor([list(g) for g in generated], dtype=torch.int64, device=logits.device)
            scores = self.processors(ids, scores)  # type: ignore[arg-type]  # LongTensor is an alias for documentation
        if self.greedy:
            return [int(i) for i in scores.argmax(-1).tolist()]
        # Every token owns an interval of [0, 1) as long as its probability; the token drawn is the one whose interval
        # holds a number that the seed, the request and the step fix. In double and in vocabulary order: rounding that
        # differs between batches moves an interval by 1e-7; sorting by probability could swap two tokens outright.
        cumulative = scores.softmax(-1).double().cumsum(-1)
        drawn = [[uniform(self.seed, key, len(g))] for key, g in zip(keys, generated, strict=True)]
        points = torch.tensor(drawn, dtype=torch.float64, device=logits.device) * cumulative[:, -1:]
        return [int(i) for i in torch.searchsorted(cumulative, points, right=True)[:, 0].tolist()]


def uniform(seed: int, key: str, step: int) -> float:
    """Hash the arguments to a number in [0, 1): no generator to keep, and the same on every machine."""
    digest = blake2b(f"{seed}/{step}/{key}".encode(errors="backslashreplace"), digest_size=4).digest()
    return int.from_bytes(digest, "little") / 2**32
