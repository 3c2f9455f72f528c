"""The built-in engine: a causal LM whose prompts join and leave a running batch, and share what they begin with.

What the prompts of a clip have in common (all visual tokens are in it) is fed once and kept in one row of keys and
values. Each question has a row of its own for what follows. Every step feeds the newest token of each question under
way, whatever clips they belong to, so that finished ones cost nothing and new ones join at any step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videollm.engines.backbone import Backbone, check
from videollm.engines.base import Batch, Engine
from videollm.engines.graphs import Captured, Capturing
from videollm.engines.memory import bytes_per_token, free_bytes
from videollm.engines.pools import SPARE
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.running import RunningBatch
from videollm.engines.sampler import Sampler
from videollm.types import Generation


class BuiltinEngine(Engine):
    """Generates answers with the model's own LLM, in eval mode, and scores continuations of any length.

    A prompt whose continuations are one token each takes no step beyond its own forward. Others take one forward more,
    in which all that was fed for the prompt is there already: what differs between its continuations lies in rows side
    by side.
    """

    scores = True

    @dataclass(frozen=True, kw_only=True)
    class Config(Engine.Config):
        """How the engine runs."""

        cache_gb: float | None = None
        """GB for keys and values; by default a share of the memory that is free."""
        memory_share: float = 1.0
        """Of the device, where other models lie on it too."""
        capture: bool | None = None
        """Record the steps of decoding once, and then do them again at once: as CUDA graphs. By default on a GPU. On a
        CPU the same is done operation by operation, which proves it and is slower."""

    config: Config

    def __init__(
        self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: Engine.Config | None = None
    ) -> None:
        super().__init__(llm, tokenizer, config)
        self.backbone = Backbone(llm)

    @cached_property
    def capturing(self) -> Capturing:
        """Whether steps are recorded; asked for once the LLM lies where it runs."""
        return Capturing(self.backbone, self.config.capture)

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

    @torch.inference_mode()
    def try_steps(self) -> str | None:
        """Record a step, so that what comes in the way is known before there is work, see `Engine.try_steps`."""
        if not self.capturing.wanted or self.llm.training or any(p.is_meta for p in self.llm.parameters()):
            return None
        if self.capturing.works:
            prompt = Prompt(ids=[0], positions=[0, 1], key="", budget=4, text=None)
            batch = RunningBatch(
                self.backbone,
                Sampler(Generation(max_new_tokens=4, temperature=0.0)),
                frozenset(),
                max_tokens=1,
                captured=Captured(self.backbone, self.capturing),
            )
            batch.join(Prefix(tokens=self.embedding.weight[:0]), [prompt])
            while batch.num_prompts:
                batch.advance()
        return "captured" if self.capturing.works else f"ordinary: {self.capturing.fault}"

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
            captured=Captured(self.backbone, self.capturing),
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
