"""The built-in engine: a causal LM whose prompts join and leave a running batch, and share what they begin with.

What the prompts of a clip have in common (all visual tokens are in it) is fed once and kept in one row of keys and
values. Each question has a row of its own for what follows. Every step feeds the newest token of each question under
way, whatever clips they belong to, so that finished ones cost nothing and new ones join at any step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videollm.engines.backbone import Backbone, check
from videollm.engines.base import Batch, Engine, Prefix, Prompt
from videollm.engines.memory import bytes_per_token, free_bytes
from videollm.engines.pools import SPARE
from videollm.engines.running import RunningBatch
from videollm.engines.sampler import Sampler
from videollm.types import Generation


class BuiltinEngine(Engine):
    """Generates answers with the model's own LLM, in eval mode."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Engine.Config):
        """How the engine runs."""

        cache_gb: float | None = None
        """GB for keys and values; by default a share of the memory that is free."""
        memory_share: float = 1.0
        """Of the device, where other models lie on it too."""

    config: Config

    def __init__(
        self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: Engine.Config | None = None
    ) -> None:
        super().__init__(llm, tokenizer, config)
        self.backbone = Backbone(llm)

    @classmethod
    def check_backbone(cls, llm: PreTrainedModel) -> None:
        """Check that prompts of this LLM can share what they begin with.

        Raises:
            UserError: they cannot; the message says why.
        """
        check(llm)

    def start(self, generation: Generation, *, max_prompts: int | None = None) -> Batch:
        """Start a batch that clips can join at any time, see `Engine.start`."""
        self._check_ready(generation)
        return self._batch(generation, max_prompts)

    def _run(
        self,
        clips: Sequence[tuple[Prefix, Sequence[Prompt]]],
        generation: Generation,
        on_text: Callable[[str], None] | None,
    ) -> None:
        batch = self._batch(generation)
        for visual, prompts in clips:
            batch.join(visual, prompts)
        while batch.num_prompts:
            batch.advance()
            if on_text is not None:
                clips[0][1][0].stream(on_text)

    def _batch(self, generation: Generation, max_prompts: int | None = None) -> RunningBatch:
        return RunningBatch(
            self.backbone,
            self._sampler(generation),
            self.end_ids,
            max_tokens=self._max_tokens(),
            max_prompts=max_prompts,
        )

    def _sampler(self, generation: Generation) -> Sampler:
        """Make what chooses tokens; all else that `_run` does depends on its arguments, these and `_max_tokens`."""
        return Sampler(generation)

    def _max_tokens(self) -> int:
        """Return the number of tokens that there is memory for, spare rows aside."""
        gb = self.config.cache_gb
        free = self.config.memory_share * free_bytes(self.embedding.weight.device)
        total = free if gb is None else gb * 1e9
        return int(total / SPARE // bytes_per_token(self.llm))
