"""A batch job as commands describe it, in the terms of the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.executors.sizing import Wanted
from videollm.checkpoints import Options as LoadOptions


@dataclass(frozen=True, kw_only=True)
class FrameChoice:
    """Which frames the model sees; None is the model's own choice."""

    num_frames: int | None = None
    policy: str | None = None
    """A name in POLICIES."""
    choose_fps: float | None = None
    packing: int | None = None
    decoder: str = "auto"
    """A name in DECODERS."""
    allow_partial: bool = False

    def override(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Put what was chosen in the place of the model's own sampling.

        Args:
            own: fields of videollm.video.sampling.sample.Sampling.
        """
        chosen = {"num_frames": self.num_frames, "policy": self.policy, "choose_fps": self.choose_fps}
        if self.packing is not None:
            chosen |= {"force_packing": self.packing, "max_packing": max(own["max_packing"], self.packing)}
        return {**own, **{name: value for name, value in chosen.items() if value is not None}}


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How much runs at once, and where. None of it changes an answer."""

    executor: str = "auto"
    """A name in EXECUTORS, or `auto`."""
    address: str | None = None
    """A Ray cluster to join; None is this machine."""
    sizes: Wanted = field(default_factory=Wanted)
    clips_per_batch: int = 8
    questions_per_batch: int = 32
    decode_timeout_seconds: float = 120.0


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """What is asked of which model, where the rows go, and how the work is done."""

    output: Path
    config: Mapping[str, Any]
    """All that the rows depend on but the model's files, flat and JSON-able: it stays the same for one output."""
    options: Mapping[str, Any]
    """All that the command was told, for the reader of run.json."""
    model: LoadOptions
    frames: FrameChoice = field(default_factory=FrameChoice)
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Fields of videollm.types.Generation, in the place of the model's own."""
    workers: Workers = field(default_factory=Workers)
    feature_cache: str | None = None
    """Folder of the feature cache."""
    feature_cache_gb: float = 50.0
    format: Literal["parquet", "jsonl"] = "parquet"
    rows_per_shard: int = 10_000
    retry_errors: bool = False
    log_level: str = "info"
