"""The middle stage: frames of clips become visual tokens, by the vision tower and the connector."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.stages.base import Advance, Item, Stage, StageResult
from pipelines.stages.batching import call_with_fallback, describe_error, trace_of
from videollm.checkpoints import Options as LoadOptions
from videollm.errors import Status
from videollm.features.codec import unpack
from videollm.features.store import FeatureCache
from videollm.models.protocol import ModelInfo
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
        connected = iter(call_with_fallback(model.connect, [c for c in clips if not isinstance(c, Exception)]))
        visuals = [c if isinstance(c, Exception) else next(connected) for c in clips]
    seconds = (time.perf_counter() - began) / max(len(items), 1)
    results: list[StageResult] = []
    for item, visual, warning in zip(items, visuals, warnings, strict=True):
        item = replace(
            item, info=replace(item.info, encode_seconds=seconds), warnings=item.warnings + warning, payload=None
        )
        if isinstance(visual, Exception):
            results.append(item.fail(Status.ENCODE_ERROR, describe_error(visual), trace=trace_of(visual)))
        else:
            num_bytes = visual.tokens.element_size() * visual.tokens.numel()
            results.append(Advance(item=replace(item, payload=visual, num_bytes=num_bytes)))
    return results


def _encode_uncached(model: VideoModel, items: Sequence[Item]) -> list[EncodedClip | Exception]:
    """Encode uncached clips in one forward; load the others from their entries of the cache."""

    def read(entries: Sequence[NDArray[np.uint8]]) -> list[EncodedClip]:
        return [unpack(e.tobytes(), model.device) for e in entries]

    entries = [item.payload for item in items if isinstance(item.payload, np.ndarray)]
    batches = [item.payload for item in items if isinstance(item.payload, FrameBatch)]
    loaded = iter(call_with_fallback(read, entries))
    encoded = iter(call_with_fallback(model.encode_frames, batches))
    return [next(encoded if isinstance(item.payload, FrameBatch) else loaded) for item in items]


def _keep(cache: FeatureCache | None, item: Item, clip: EncodedClip | Exception) -> tuple[str, ...]:
    """Keep features in the cache, and return a warning for each failure."""
    if cache is None or item.feature_key is None or isinstance(clip, Exception):
        return ()
    cache.problem = None
    cache.put(item.feature_key, clip, item.info.without_timings())
    return () if cache.problem is None else (cache.problem,)


def _with_tokens_on_cpu(item: Item) -> Item:
    visual: Visual = item.payload  # type: ignore[assignment]
    return replace(item, payload=replace(visual, tokens=visual.tokens.cpu()))
