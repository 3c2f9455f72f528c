"""The stages that hold the model: from frames of clips to visual tokens, and on to answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.requests.types import JobRequest
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Advance, Finished, Item, Stage, StageResult
from pipelines.stages.batching import Attempts, batch_slices, describe_error, trace_of
from videollm.checkpoints import Options as LoadOptions
from videollm.errors import Status
from videollm.features.codec import unpack
from videollm.features.store import FeatureCache
from videollm.models.protocol import ModelInfo
from videollm.types import Answer as ModelAnswer
from videollm.types import FrameBatch

if TYPE_CHECKING:
    from videollm.models.protocol import EncodedClip, VideoModel, Visual


class ModelStage(Stage):
    """A stage that holds the model."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Model, and how it runs."""

        model: LoadOptions
        num_threads: int | None = None
        """Threads of torch on the CPU; None leaves its own choice."""
        cache: FeatureCache | None = None
        """Keeps the features of the clips that are encoded."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._model: VideoModel | None = None

    @property
    def model(self) -> VideoModel:
        """The model, once the stage is set up."""
        assert self._model is not None
        return self._model

    def setup(self, folder: Path | None = None) -> ModelInfo:
        """Load the model and describe it."""
        import torch

        from videollm.checkpoints import load_with

        if self.config.num_threads is not None:
            torch.set_num_threads(self.config.num_threads)
        self._model = load_with(self.config.model, folder=folder)
        return self._model.describe(with_tower_key=self.config.cache is not None)

    def teardown(self) -> None:
        """Let go of the model."""
        self._model = None


class Encode(ModelStage):
    """Clips, the frames of all of them in one forward."""

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        """Replace the frames or cache entries of items by visual tokens (n d) on the CPU."""
        return [
            Advance(item=_with_tokens_on_cpu(result.item)) if isinstance(result, Advance) else result
            for result in encode(self.model, items, self.config.cache)
        ]


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


def encode(model: VideoModel, items: Sequence[Item], cache: FeatureCache | None = None) -> list[StageResult]:
    """Replace the frames or cache entries of items by visual tokens, on the model's device.

    Args:
        cache: where to keep the features of the frames.
    """
    import torch

    began = time.perf_counter()
    with torch.inference_mode():
        clips = _encode_uncached(model, items)
        warnings = [_keep(cache, item, clip) for item, clip in zip(items, clips, strict=True)]
        asked = [[request.question for request in item.task.requests] for item in items]
        connected: Attempts[tuple[EncodedClip, list[str]], Visual] = Attempts(
            [(c, of_clip) for c, of_clip in zip(clips, asked, strict=True) if not isinstance(c, Exception)]
        )
        for some in connected:
            with connected:
                connected.add(model.connect([c for c, _ in some], [of_clip for _, of_clip in some]))
        made = iter(connected.outcomes)
        visuals = [c if isinstance(c, Exception) else next(made) for c in clips]
    seconds = (time.perf_counter() - began) / max(len(items), 1)
    results: list[StageResult] = []
    for item, visual, warning in zip(items, visuals, warnings, strict=True):
        item = replace(
            item, info=replace(item.info, encode_seconds=seconds), warnings=item.warnings + warning, payload=None
        )
        if isinstance(visual, Exception):
            results.append(item.fail(Status.ENCODE_ERROR, describe_error(visual), trace=trace_of(visual)))
        else:
            results.append(Advance(item=replace(item, payload=visual, num_bytes=visual.num_bytes)))
    return results


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
        answers: Attempts[tuple[int, JobRequest], ModelAnswer] = Attempts(asked[part])
        for some in answers:
            with answers:
                answers.add(ask(some))
        seconds = (time.perf_counter() - began) / len(answers.outcomes)
        for (i, request), made in zip(asked[part], answers.outcomes, strict=True):
            if isinstance(made, Exception):
                rows[i].append(items[i].failed(request, Status.GENERATE_ERROR, describe_error(made)))
                traces[i] = trace_of(made)
            else:
                rows[i].append(items[i].answered(request, made, seconds))
    return [item.finish(r, trace=trace) for item, r, trace in zip(items, rows, traces, strict=True)]


def _encode_uncached(model: VideoModel, items: Sequence[Item]) -> list[EncodedClip | Exception]:
    """Encode uncached clips in one forward; load the others from their entries of the cache."""
    payloads = [item.payload for item in items]
    loaded: Attempts[NDArray[np.uint8], EncodedClip] = Attempts([p for p in payloads if isinstance(p, np.ndarray)])
    for entries in loaded:
        with loaded:
            loaded.add(unpack(e.tobytes(), model.device) for e in entries)
    encoded: Attempts[FrameBatch, EncodedClip] = Attempts([p for p in payloads if isinstance(p, FrameBatch)])
    for batches in encoded:
        with encoded:
            encoded.add(model.encode_frames(batches))
    from_frames, from_cache = iter(encoded.outcomes), iter(loaded.outcomes)
    return [next(from_frames if isinstance(p, FrameBatch) else from_cache) for p in payloads]


def _keep(cache: FeatureCache | None, item: Item, clip: EncodedClip | Exception) -> tuple[str, ...]:
    """Keep features in the cache, and return a warning for each failure."""
    if cache is None or item.feature_key is None or isinstance(clip, Exception):
        return ()
    cache.problem = None
    cache.put(item.feature_key, clip, item.info.without_timings())
    return () if cache.problem is None else (cache.problem,)


def _with_tokens_on_cpu(item: Item) -> Item:
    visual: Visual = item.payload  # type: ignore[assignment]
    return replace(item, payload=visual.to("cpu"))


def _on_device(item: Item, model: VideoModel) -> Visual:
    visual: Visual = item.payload  # type: ignore[assignment]
    return visual.to(model.device)
