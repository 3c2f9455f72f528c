"""The stages that hold the model: from frames of clips to visual tokens, and on to answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.requests.types import JobRequest
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Advance, Finished, Item, RunningStage, Stage, StageResult
from pipelines.stages.batching import Attempts, describe_error, trace_of
from videollm.checkpoints import Options as LoadOptions
from videollm.errors import EngineLost, Status
from videollm.features.codec import unpack
from videollm.features.store import FeatureCache
from videollm.models.protocol import ModelInfo
from videollm.types import Answer as ModelAnswer
from videollm.types import FrameBatch, Room

if TYPE_CHECKING:
    from videollm.models.answering import Answered, Answering
    from videollm.models.protocol import EncodedClip, VideoModel, Visual

MAX_ENCODING: Final = 2
"""Calls whose items are being encoded or wait for it, beside those that are answered."""


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


class Answer(ModelStage, RunningStage):
    """Answers to all requests of clips, which join and leave at any time."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelStage.Config):
        """How requests are answered."""

        generation: Mapping[str, Any] = field(default_factory=dict)
        """Fields of videollm.types.Generation, in the place of the model's own."""
        questions_per_batch: int | None = None
        """Most questions under way; as many as there is memory for, if not given."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._answering: Answering[Visual | None] | None = None
        self._joined: dict[int, Item] = {}
        """Items with visual tokens, by name."""
        self._ended: dict[int, Finished] = {}
        """Items that failed as they joined."""

    @property
    def num_items(self) -> int:
        """Items that joined and have not left."""
        return len(self._joined) + len(self._ended)

    @property
    def has_room(self) -> bool:
        """Whether more items would be worked on at once."""
        return self._answering is None or not self._answering.num_waiting

    @property
    def answering(self) -> Answering[Visual | None]:
        """What is under way in the model."""
        if self._answering is None:
            settings = replace(self.model.generation, **self.config.generation)
            self._answering = self.model.start(settings, max_requests=self.config.questions_per_batch)
        return self._answering

    def room(self, item: Item) -> Room | None:
        """Tell what memory an item with visual tokens would take, and what there is."""
        return self.answering.room(item.payload, item.task.requests)  # type: ignore[arg-type]

    def add(self, items: Mapping[int, Item]) -> None:
        """Let items with visual tokens join."""
        for name, item in items.items():
            visual: Visual | None = item.payload  # type: ignore[assignment]
            shown = None if visual is None else visual.to(self.model.device)
            self._joined[name] = item = replace(item, payload=shown)
            self.answering.add(name, item.payload, item.task.requests)  # type: ignore[arg-type]

    def advance(self) -> dict[int, Finished]:
        """Generate for a while; what fails all items under way is tried again, each alone, so that a bad one fails."""
        ends, self._ended = self._ended, {}
        if self._answering is None or not self._joined:
            return ends
        attempt: Attempts[Answering[Visual | None], list[Answered]] = Attempts([self._answering])
        for (answering,) in attempt:
            with attempt:
                attempt.add([answering.advance()])
        (answered,) = attempt.outcomes
        if isinstance(answered, EngineLost):
            raise answered
        if isinstance(answered, Exception):  # out of memory, a fault of the model; it holds nothing of the batch
            self._answering.clear()
            joined, self._joined = self._joined, {}
            told = f"Its batch failed, and it was answered alone: {describe_error(answered)}"
            alone = {name: replace(item, warnings=(*item.warnings, told)) for name, item in joined.items()}
            return ends | {name: self._answer_alone(item) for name, item in alone.items()}
        for clip in answered:
            item = self._joined.pop(cast("int", clip.key))
            ends[cast("int", clip.key)] = _finish(item, clip.outcomes, clip.seconds)
        return ends

    def clear(self) -> None:
        """Give all items up."""
        self._joined, self._ended = {}, {}
        if self._answering is not None:
            self._answering.clear()

    def teardown(self) -> None:
        """Let go of the model."""
        self._answering = None
        super().teardown()

    def _answer_alone(self, item: Item) -> Finished:
        """Answer the requests of an item, those that fail together one by one."""
        visual: Visual | None = item.payload  # type: ignore[assignment]
        settings = replace(self.model.generation, **self.config.generation)
        began = time.perf_counter()
        attempts: Attempts[JobRequest, ModelAnswer] = Attempts(item.task.requests)
        for some in attempts:
            with attempts:
                attempts.add(self.model.answer_batch([(visual, some)], settings)[0])
        share = (time.perf_counter() - began) / max(1, len(attempts.outcomes))
        return _finish(item, attempts.outcomes, [share] * len(attempts.outcomes))


class EncodeAnswer(Answer):
    """Encoding and answering with one copy of the model, without a hop between them."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Answer.Config):
        """How clips are encoded beside those that are answered."""

        overlaps: bool | None = None
        """Encode in a thread while others are answered; by default on a GPU, which steps of the LLM leave time."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._thread: ThreadPoolExecutor | None = None
        self._encoding: deque[tuple[list[int], Future[list[StageResult]]]] = deque()
        """Names of items that are being encoded, and what will come of them."""

    def setup(self, folder: Path | None = None) -> ModelInfo:
        """Load the model and describe it."""
        info = super().setup(folder)
        overlaps = self.config.overlaps
        if overlaps or (overlaps is None and self.model.device.type == "cuda"):
            self._thread = ThreadPoolExecutor(1, "encode")
        return info

    def teardown(self) -> None:
        """Let go of the model."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        super().teardown()

    @property
    def num_items(self) -> int:
        """Items that joined and have not left."""
        return super().num_items + sum(len(names) for names, _ in self._encoding)

    @property
    def has_room(self) -> bool:
        """Whether more items would be worked on at once."""
        return super().has_room and len(self._encoding) < MAX_ENCODING

    def add(self, items: Mapping[int, Item]) -> None:
        """Encode items with frames, or with entries of the cache, and let them join."""
        names, given = [*items], [*items.values()]
        if self._thread is None:
            self._join(names, encode(self.model, given, self.config.cache))
        else:
            self._encoding.append((names, self._thread.submit(encode, self.model, given, self.config.cache)))

    def advance(self) -> dict[int, Finished]:
        """Let those join that are encoded by now, and generate for a while."""
        while self._encoding and (self._encoding[0][1].done() or not super().num_items):
            names, results = self._encoding.popleft()
            self._join(names, results.result())
        return super().advance()

    def clear(self) -> None:
        """Give all items up."""
        for _, results in self._encoding:
            results.cancel()
        self._encoding.clear()
        super().clear()

    def _join(self, names: Sequence[int], results: Sequence[StageResult]) -> None:
        by_name = dict(zip(names, results, strict=True))
        self._ended |= {name: r for name, r in by_name.items() if isinstance(r, Finished)}
        super().add({name: r.item for name, r in by_name.items() if isinstance(r, Advance)})


def encode(model: VideoModel, items: Sequence[Item], cache: FeatureCache | None = None) -> list[StageResult]:
    """Replace the frames or cache entries of items by visual tokens, on the model's device; unseen ones have none.

    Args:
        cache: where to keep the features of the frames.
    """
    made = iter(_encode(model, [item for item in items if item.task.seen], cache))
    return [next(made) if item.task.seen else Advance(item=item) for item in items]


def _encode(model: VideoModel, items: Sequence[Item], cache: FeatureCache | None) -> list[StageResult]:
    if not items:
        return []
    import torch

    from videollm.models.protocol import EncodedClip

    began = time.perf_counter()
    with torch.inference_mode():
        clips = _encode_uncached(model, items)
        warnings = [_keep(cache, item, clip) for item, clip in zip(items, clips, strict=True)]
        asked = [[request.question for request in item.task.requests] for item in items]
        goes_on = [isinstance(c, EncodedClip) and not item.task.pooled for item, c in zip(items, clips, strict=True)]
        wanted = [cast("EncodedClip", c) for c in compress(clips, goes_on)]
        connected: Attempts[tuple[EncodedClip, list[str]], Visual] = Attempts(
            list(zip(wanted, compress(asked, goes_on), strict=True))
        )
        for some in connected:
            with connected:
                connected.add(model.connect([c for c, _ in some], [of_clip for _, of_clip in some]))
        made = iter(connected.outcomes)
        visuals = [next(made) if goes else c for goes, c in zip(goes_on, clips, strict=True)]
    seconds = (time.perf_counter() - began) / max(len(items), 1)
    results: list[StageResult] = []
    for item, visual, warning in zip(items, visuals, warnings, strict=True):
        item = replace(
            item, info=replace(item.info, encode_seconds=seconds), warnings=item.warnings + warning, payload=None
        )
        if isinstance(visual, Exception):
            results.append(item.fail(Status.ENCODE_ERROR, describe_error(visual), trace=trace_of(visual)))
        elif isinstance(visual, EncodedClip):
            results.append(item.found(pooled=visual.mean_features()))
        else:
            results.append(Advance(item=replace(item, payload=visual, num_bytes=visual.num_bytes)))
    return results


def _finish(item: Item, outcomes: Sequence[ModelAnswer | Exception], seconds: Sequence[float]) -> Finished:
    """Make the rows of an item's requests."""
    rows: list[ResultRow] = []
    trace = None
    for request, outcome, share in zip(item.task.requests, outcomes, seconds, strict=True):
        if isinstance(outcome, Exception):
            rows.append(item.failed(request, Status.GENERATE_ERROR, describe_error(outcome)))
            trace = trace_of(outcome)
        else:
            rows.append(item.answered(request, outcome, share))
    return item.finish(rows, trace=trace)


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
    visual: Visual | None = item.payload  # type: ignore[assignment]
    return item if visual is None else replace(item, payload=visual.to("cpu"))
