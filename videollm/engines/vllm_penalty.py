"""The repetition penalty inside vLLM: imported with vLLM alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import RepetitionPenaltyLogitsProcessor
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

PENALTY: Final = "generated_tokens_penalty"
"""Name of the penalty among a request's extra arguments."""


class GeneratedTokensPenalty(AdapterLogitsProcessor):  # type: ignore[misc, unused-ignore]  # Any where vLLM is not installed
    """Penalises generated tokens only, as the built-in sampler does.

    vLLM's own penalty also counts the prompt's ids, and where a prompt of embeddings has none it takes what is there.
    """

    def is_argmax_invariant(self) -> bool:
        """Tell whether greedy answers are left alone."""
        return False

    def new_req_logits_processor(self, params: Any) -> Callable[[Sequence[int], Tensor], Tensor] | None:
        """Return the function that changes the logits (v) of one request, given the ids generated so far."""
        penalty = (params.extra_args or {}).get(PENALTY, 1.0)
        if penalty == 1:
            return None
        processor = RepetitionPenaltyLogitsProcessor(penalty)

        def penalise(generated: Sequence[int], logits: Tensor) -> Tensor:
            ids = torch.tensor([list(generated)], dtype=torch.int64, device=logits.device)
            scores: Tensor = processor(ids, logits[None])
            return scores[0]

        return penalise
