"""Clips under way in a composed model: their prompts share the running batch of its engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from videollm.engines.base import Engine
from videollm.engines.packing import Position
from videollm.engines.prompt import Prefix, Prompt
from videollm.models.answering import Answered, Answering
from videollm.models.protocol import Visual
from videollm.types import Answer, Completion, Generation, Request, Room


class Written(NamedTuple):
    """The prompt of a request."""

    visual: Visual
    """What the LLM sees."""
    ids: list[int]
    positions: list[Position]
    """Of each, and of the token to come."""
    text: str
    continuations: list[list[int]]
    """Ids of the texts to score; none where an answer is wanted."""


class Running(Answering[Visual | None]):
    """Clips under way in an engine.

    Args:
        engine: generates the answers.
        write: writes the prompt of a request.
        generation: how tokens are chosen.
        max_requests: most requests under way; as many as there is memory for, if not given.
    """

    def __init__(
        self,
        engine: Engine,
        write: Callable[[Visual | None, Request], Written],
        generation: Generation,
        max_requests: int | None = None,
    ) -> None:
        self._engine, self._write, self._generation, self._max_requests = engine, write, generation, max_requests
        self._batch = engine.start(generation, max_prompts=max_requests)
        self._clips: list[_Clip] = []

    @property
    def num_waiting(self) -> int:
        """Requests that there is no room for yet."""
        return self._batch.num_waiting

    @property
    def num_clips(self) -> int:
        """Clips that have not ended."""
        return len(self._clips)

    def clear(self) -> None:
        """Give all clips up."""
        self._clips = []
        del self._batch  # its memory is part of what the next one plans with
        self._batch = self._engine.start(self._generation, max_prompts=self._max_requests)

    def add(self, key: Hashable, visual: Visual | None, requests: Sequence[Request]) -> None:
        """Let a clip join, see `Answering.add`."""
        clip = _Clip(key=key, asked=[self._ask(visual, request) for request in requests])
        self._clips.append(clip)
        # The requests of a clip share one row, unless the connector asks: then those of a question do.
        rows: dict[int, tuple[Visual, list[Prompt]]] = {}
        for asked in clip.asked:
            if asked.prompt is not None and asked.visual is not None:
                rows.setdefault(id(asked.visual), (asked.visual, []))[1].append(asked.prompt)
        for seen, prompts in rows.values():
            self._batch.join(Prefix(tokens=seen.tokens, deep=seen.deep), prompts)

    def room(self, visual: Visual | None, requests: Sequence[Request]) -> Room | None:
        """Tell what a clip would take, and what there is, see `Batch.room`."""
        prompts = [self._ask(visual, request).prompt for request in requests]
        return self._batch.room([prompt for prompt in prompts if prompt is not None])

    def advance(self) -> list[Answered]:
        """Generate a token for every request under way, see `Answering.advance`."""
        unfinished = [a for clip in self._clips for a in clip.asked if a.is_under_way]
        began = time.perf_counter()
        self._batch.advance()
        spent = time.perf_counter() - began
        fed = [a for a in unfinished if a.prompt is not None and (a.prompt.generated or a.prompt.finish_reason)]
        for asked in fed:
            asked.seconds += spent / len(fed)
        ended = [clip for clip in self._clips if not any(a.is_under_way for a in clip.asked)]
        self._clips = [clip for clip in self._clips if any(a.is_under_way for a in clip.asked)]
        return [
            Answered(key=c.key, outcomes=[self._outcome(a) for a in c.asked], seconds=[a.seconds for a in c.asked])
            for c in ended
        ]

    def _ask(self, visual: Visual | None, request: Request) -> _Asked:
        try:
            seen, ids, positions, text, continuations = self._write(visual, request)
            budget = budget_of(request, self._generation)
            prompt = self._engine.prompt(
                ids, positions, request.id, budget, self._generation, continuations=continuations
            )
        except Exception as error:  # a prompt that does not fit, or a text that the tokenizer fails on
            return _Asked(error=error)
        return _Asked(visual=seen, prompt=prompt, text=text)

    def _outcome(self, asked: _Asked) -> Answer | Exception:
        if asked.prompt is None or asked.visual is None:
            assert asked.error is not None
            return asked.error
        completion = self._engine.completion(asked.prompt)
        return make_answer(asked.visual, len(asked.prompt.ids), asked.text, completion)


@dataclass(kw_only=True)
class _Asked:
    """A request under way."""

    visual: Visual | None = None
    prompt: Prompt | None = None
    text: str = ""
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def is_under_way(self) -> bool:
        return self.prompt is not None and not self.prompt.finish_reason


@dataclass(kw_only=True)
class _Clip:
    key: Hashable
    asked: list[_Asked] = field(default_factory=list)


def budget_of(request: Request, generation: Generation) -> int:
    """Return the most tokens that the answer to a request may have."""
    return generation.max_new_tokens if request.max_new_tokens is None else request.max_new_tokens


def make_answer(visual: Visual, num_prompt_tokens: int, prompt: str, completion: Completion) -> Answer:
    """Make the answer of what was generated."""
    return Answer(
        text=completion.text.strip(),
        prompt=prompt,
        finish_reason=completion.finish_reason,
        scores=completion.scores,
        num_visual_tokens=len(visual.tokens),
        num_prompt_tokens=num_prompt_tokens,
        num_generated_tokens=len(completion.ids),
        frame_indices=visual.frame_indices,
        frame_seconds=visual.frame_seconds,
    )
