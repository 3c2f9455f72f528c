"""The first stage: frames of clips, decoded in a child process that may hang or die, or features from the cache."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.stages.base import Advance, ClipInfo, Item, Stage, StageResult
from pipelines.stages.decoding.client import Decoder, Failure
from videollm.features.codec import read_metadata
from videollm.features.key import make_key
from videollm.features.store import FeatureCache
from videollm.types import FrameBatch


def _together(item: Item) -> tuple[str, str | None]:
    """Name what is decoded in one pass: a video, and the rule by which frames are taken of it; None is no frames."""
    task = item.task
    seen = task.survey is None and task.seen
    return task.clip.video, json.dumps(task.sampling, sort_keys=True) if seen else None


class Decode(Stage):
    """Clips, one after the other."""

    guards_itself = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What is decoded, and how."""

        sampling: Mapping[str, Any]
        """Fields of videollm.Sampling."""
        frame_size: Mapping[str, Any] | None
        """Fields of videollm.FrameSize; None is full size."""
        decoder: str = "auto"
        """A name in DECODERS."""
        allow_partial: bool = False
        """Keep the healthy frames of a damaged video."""
        timeout_seconds: float = 120.0
        """After which decoding a clip is given up."""
        cache: FeatureCache | None = None
        tower_key: str | None = None
        """Part of the keys of the cache."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.decoder = Decoder(timeout_seconds=config.timeout_seconds)

    def setup(self, folder: Path | None = None) -> None:
        """Start the child process ahead of the first clip."""
        self.decoder.start()

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        """Load items with frames (t h w c) uint8, or with an entry of the cache (bytes as uint8).

        Windows of one video that follow one another are decoded in one pass.
        """
        results: list[StageResult] = []
        for (_, together), some in groupby(items, key=_together):
            span = list(some)
            results += self._decode_all(span) if together is not None else [self._look_at(item) for item in span]
        return results

    def teardown(self) -> None:
        """End the child process."""
        self.decoder.close()

    def _look_at(self, item: Item) -> StageResult:
        """Deal with a task that is not about frames of a clip."""
        if item.task.survey is None:  # its requests are about text alone
            return Advance(item=item)
        began = time.perf_counter()
        made = self.decoder.survey(item.task.clip, item.task.survey)
        if isinstance(made, Failure):
            info = ClipInfo(decode_seconds=time.perf_counter() - began)
            return replace(item, info=info).fail(made.status, made.error, trace=made.trace)
        return item.found(survey=made)

    def _decode_all(self, items: Sequence[Item]) -> list[StageResult]:
        """Decode clips of one video that take their frames by one rule, as far as the cache does not hold them."""
        found = [self._from_cache(item) for item in items]
        left = [item for item in found if isinstance(item, Item)]
        clips, sampling = [item.task.clip for item in left], self._sampling(items[0])
        decode, size = self.decoder.decode, self.config.frame_size
        how: dict[str, Any] = {"decoder": self.config.decoder, "allow_partial": self.config.allow_partial}
        began = time.perf_counter()
        if len(clips) > 1 and all(clip.start is not None and clip.end is not None for clip in clips):
            made = self.decoder.decode_windows(clips, sampling, size, **how)
        else:
            made = [decode(clip, sampling, size, **how) for clip in clips]
        seconds = (time.perf_counter() - began) / max(1, len(clips))
        results = iter([self._with_frames(item, one, seconds) for item, one in zip(left, made, strict=True)])
        return [next(results) if isinstance(item, Item) else item for item in found]

    def _from_cache(self, item: Item) -> Item | Advance:
        """Load an item with its entry of the cache, if there is one."""
        began = time.perf_counter()
        cache, key = self.config.cache, self._key(item)
        entry = cache.get(key) if cache is not None and key is not None else None
        seconds = time.perf_counter() - began
        if entry is None:
            return replace(item, feature_key=key, info=ClipInfo(decode_seconds=seconds))
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in read_metadata(entry).items()}
        info = ClipInfo(**known, decode_seconds=seconds)
        payload = np.frombuffer(entry, np.uint8)
        return Advance(item=replace(item, info=info, payload=payload, num_bytes=payload.nbytes, from_cache=True))

    def _with_frames(self, item: Item, made: tuple[FrameBatch, float] | Failure, waited: float) -> StageResult:
        """Load an item with its frames, or give up on it.

        Args:
            waited: seconds that the call took, the item's share.
        """
        lookup_seconds = item.info.decode_seconds
        if isinstance(made, Failure):
            info = ClipInfo(decode_seconds=lookup_seconds + waited)
            return replace(item, info=info).fail(made.status, made.error, trace=made.trace)
        batch, seconds = made
        info = ClipInfo(
            frame_indices=batch.indices,
            frame_seconds=batch.seconds,
            missing_frames=batch.missing,
            video_hash=batch.video_hash,
            frame_height=batch.frames.shape[1],
            frame_width=batch.frames.shape[2],
            decoder=batch.decoder,
            decode_seconds=lookup_seconds + seconds,
        )
        return Advance(item=replace(item, info=info, payload=batch, num_bytes=batch.frames.nbytes))

    def _sampling(self, item: Item) -> Mapping[str, Any]:
        return self.config.sampling if item.task.sampling is None else item.task.sampling

    def _key(self, item: Item) -> str | None:
        """Compute the key of a clip's features; None without a cache, or where the video has no digest."""
        clip = item.task.clip
        digest = None if self.config.cache is None else self.decoder.digest(clip.video)
        if digest is None:
            return None
        return make_key(
            content=digest,
            part={name: value for name, value in asdict(clip).items() if name != "video"},
            sampling=self._sampling(item),
            frame_size=self.config.frame_size,
            decoder=self.config.decoder,
            allow_partial=self.config.allow_partial,
            tower=self.config.tower_key,
        )
