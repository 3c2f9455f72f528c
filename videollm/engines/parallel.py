"""The built-in engine on an LLM that lies on several devices: a process for each, all of which run the same code.

The first process takes the calls. It tells the others what it was asked, hands them the visual tokens, and all run
`BuiltinEngine` on their part of the LLM. Tokens are chosen by the first one alone, so that rounding cannot part them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.connection import Connection
from weakref import finalize

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videollm.engines.base import Batch, Engine
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.graphs import Capturing
from videollm.engines.link import Link
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.sampler import Sampler
from videollm.engines.streaming import Text
from videollm.engines.team import Team
from videollm.types import Generation

Clips = Sequence[tuple[Prefix, Sequence[Prompt]]]
_Shape = tuple[tuple[int, ...], torch.dtype]
"""Of a tensor that is handed over on its own."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """What the other processes must know of a call."""

    generation: Generation
    shapes: list[tuple[_Shape, _Shape | None]]
    """For each clip those of its tokens, and of what is added in later layers."""
    prompts: list[list[Prompt]]


class ParallelEngine(BuiltinEngine):
    """Generates answers with the parts of an LLM that the processes of a team hold.

    Args:
        llm: the part of this process, see `sharding.shard`.
        link: connected to the other processes.
        team: the other processes, which end with the engine; None in one of those.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        config: Engine.Config | None = None,
        *,
        link: Link,
        team: Team | None = None,
    ) -> None:
        super().__init__(llm, tokenizer, config)
        self.link, self.team = link, team
        if team is not None:
            finalize(self, team.close)

    def serve(self, calls: Connection) -> None:
        """Take part in the calls of the first process until it asks for no more, or is gone."""
        while (call := _next(calls)) is not None:
            clips = []
            for (tokens, deep), prompts in zip(call.shapes, call.prompts, strict=True):
                stop = call.generation.stop
                told = [replace(p, text=Text(self.tokenizer, stop) if stop else None) for p in prompts]
                clips.append(
                    (Prefix(tokens=self._empty(tokens), deep=None if deep is None else self._empty(deep)), told)
                )
            self._together(clips, call.generation, None)

    def _run(self, clips: Clips, generation: Generation, on_text: Callable[[str], None] | None) -> None:
        assert self.team is not None
        device = self.embedding.weight.device
        here = [
            (Prefix(tokens=_own(v.tokens, device), deep=None if v.deep is None else _own(v.deep, device)), prompts)
            for v, prompts in clips
        ]
        call = _Call(
            generation=generation,
            shapes=[(_shape(v.tokens), None if v.deep is None else _shape(v.deep)) for v, _ in here],
            prompts=[[replace(p, text=None) for p in prompts] for _, prompts in here],
        )
        with self.team.call(call):
            self._together(here, generation, on_text)

    @torch.inference_mode()
    def _together(self, clips: Clips, generation: Generation, on_text: Callable[[str], None] | None) -> None:
        self.link.running = True
        try:
            for visual, _ in clips:
                self.link.give(visual.tokens)
                if visual.deep is not None:
                    self.link.give(visual.deep)
            super()._run(clips, generation, on_text)
        finally:
            self.link.running = False

    def _sampler(self, generation: Generation) -> Sampler:
        return _OneSampler(generation, self.link)

    @cached_property
    def capturing(self) -> Capturing:
        """Steps are not recorded: processes talk within them."""
        return Capturing(self.backbone, False)

    def _max_tokens(self) -> int:
        """Return the number of tokens that the first process has memory for."""
        return int(self.link.give(torch.tensor([super()._max_tokens()], device=self.embedding.weight.device)))

    def start(self, generation: Generation, *, max_prompts: int | None = None) -> Batch:
        """Start a batch whose clips are taken in turn, see `Engine.start`."""
        return Engine.start(self, generation, max_prompts=max_prompts)

    def _empty(self, shape: _Shape) -> Tensor:
        """Make room for a tensor to come."""
        return torch.empty(shape[0], dtype=shape[1], device=self.embedding.weight.device)


class _OneSampler(Sampler):
    """Chooses tokens in the first process, for all."""

    def __init__(self, generation: Generation, link: Link) -> None:
        super().__init__(generation)
        self.link = link

    def __call__(self, logits: Tensor, generated: Sequence[Sequence[int]], keys: Sequence[str]) -> list[int]:
        """Choose one token per prompt, see `Sampler`."""
        chosen = super().__call__(logits, generated, keys) if self.link.rank == 0 else [0] * len(keys)
        told = self.link.give(torch.tensor(chosen, device=logits.device))
        return chosen if self.link.rank == 0 else [int(i) for i in told.tolist()]


def _next(calls: Connection) -> _Call | None:
    try:
        call: _Call | None = pickle.loads(calls.recv_bytes())
    except EOFError:
        return None
    return call


def _own(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device).contiguous()


def _shape(tensor: Tensor) -> _Shape:
    return tuple(tensor.shape), tensor.dtype
