"""The last stage: answers of the LLM to the requests of clips."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipelines.requests.types import JobRequest
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Advance, Finished, Item, StageResult
from pipelines.stages.batching import batch_slices, call_with_fallback, describe_error, trace_of
from pipelines.stages.encode import ModelStage, encode
from videollm.errors import Status
from videollm.types import Answer as ModelAnswer

if TYPE_CHECKING:
    from videollm.models.protocol import VideoModel, Visual


class Answer(ModelStage):
    """Answers to all requests of clips."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelStage.Config):
        """How requests are answered."""

        generation: Mapping[str, Any] = field(default_factory=dict)
        """Fields of videollm.types.Generation, in the place of the model's own."""
        questions_per_batch: int = 32
        """Questions answered at once."""

    config: Config

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        """Finish items with visual tokens."""
        return [*self.answer(items)]

    def answer(self, items: Sequence[Item]) -> list[Finished]:
        """Finish items with visual tokens."""
        return answer(self.model, items, self.config.generation, self.config.questions_per_batch)


class EncodeAnswer(Answer):
    """Encoding and answering with one copy of the model, without a hop between them."""

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        """Finish items with frames, or with entries of the cache."""
        encoded = encode(self.model, items, self.config.cache)
        answered = iter(self.answer([r.item for r in encoded if isinstance(r, Advance)]))
        return [next(answered) if isinstance(r, Advance) else r for r in encoded]


def answer(
    model: VideoModel, items: Sequence[Item], generation: Mapping[str, Any], questions_per_batch: int
) -> list[Finished]:
    """Answer the requests of items whose payload is visual tokens; questions on one clip share its prefix.

    Args:
        generation: fields of videollm.types.Generation, in the place of the model's own.
    """
    settings = replace(model.generation, **generation)
    visuals = [_on_device(item, model) for item in items]

    def ask(some: Sequence[tuple[int, JobRequest]]) -> list[ModelAnswer]:
        by_clip: dict[int, list[JobRequest]] = {}
        for i, request in some:
            by_clip.setdefault(i, []).append(request)
        made = model.answer_batch([(visuals[i], requests) for i, requests in by_clip.items()], settings)
        return [a for of_clip in made for a in of_clip]

    rows: list[list[ResultRow]] = [[] for _ in items]
    traces: list[str | None] = [None for _ in items]
    asked = [(i, request) for i, item in enumerate(items) for request in item.task.requests]
    for part in batch_slices([len(item.task.requests) for item in items], questions_per_batch):
        began = time.perf_counter()
        answers = call_with_fallback(ask, asked[part])
        seconds = (time.perf_counter() - began) / len(answers)
        for (i, request), made in zip(asked[part], answers, strict=True):
            if isinstance(made, Exception):
                rows[i].append(items[i].failed(request, Status.GENERATE_ERROR, describe_error(made)))
                traces[i] = trace_of(made)
            else:
                rows[i].append(items[i].answered(request, made, seconds))
    return [item.finish(r, trace=trace) for item, r, trace in zip(items, rows, traces, strict=True)]


def _on_device(item: Item, model: VideoModel) -> Visual:
    visual: Visual = item.payload  # type: ignore[assignment]
    return replace(visual, tokens=visual.tokens.to(model.device))
