"""The first stage: frames of clips, decoded in a child process that may hang or die, or features from the cache."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.stages.base import Advance, ClipInfo, Item, Stage, StageResult
from pipelines.stages.decoding.client import Decoder, Failure
from videollm.features.codec import read_metadata
from videollm.features.key import make_key
from videollm.features.store import FeatureCache
from videollm.types import Clip


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
        """Load items with frames (t h w c) uint8, or with an entry of the cache (bytes as uint8); unseen ones not."""
        return [self._decode(item) for item in items]

    def teardown(self) -> None:
        """End the child process."""
        self.decoder.close()

    def _decode(self, item: Item) -> StageResult:
        if not item.task.seen:
            return Advance(item=item)
        began = time.perf_counter()
        cache, key = self.config.cache, self._key(item.task.clip)
        entry = cache.get(key) if cache is not None and key is not None else None
        lookup_seconds = time.perf_counter() - began
        if entry is not None:
            known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in read_metadata(entry).items()}
            info = ClipInfo(**known, decode_seconds=lookup_seconds)
            payload = np.frombuffer(entry, np.uint8)
            return Advance(item=replace(item, info=info, payload=payload, num_bytes=payload.nbytes, from_cache=True))
        made = self.decoder.decode(
            item.task.clip,
            self.config.sampling,
            self.config.frame_size,
            decoder=self.config.decoder,
            allow_partial=self.config.allow_partial,
        )
        if isinstance(made, Failure):
            info = ClipInfo(decode_seconds=time.perf_counter() - began)
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
        return Advance(item=replace(item, info=info, payload=batch, num_bytes=batch.frames.nbytes, feature_key=key))

    def _key(self, clip: Clip) -> str | None:
        """Compute the key of a clip's features; None without a cache, or where the video has no digest."""
        digest = None if self.config.cache is None else self.decoder.digest(clip.video)
        if digest is None:
            return None
        return make_key(
            content=digest,
            part={name: value for name, value in asdict(clip).items() if name != "video"},
            sampling=self.config.sampling,
            frame_size=self.config.frame_size,
            decoder=self.config.decoder,
            allow_partial=self.config.allow_partial,
            tower=self.config.tower_key,
        )
