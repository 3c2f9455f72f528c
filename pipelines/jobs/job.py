"""A batch job in the terms of the library, as commands describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.executors.sizing import Wanted
from videollm.checkpoints import Options as LoadOptions
from videollm.video.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class FrameChoice:
    """Which frames the model sees; None is the model's own choice."""

    num_frames: int | None = None
    policy: str | None = None
    """A name in POLICIES, `pkg.mod:Class` or `path/to/file.py:Class`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of that policy; the other fields of this class are short forms of some."""
    choose_fps: float | None = None
    packing: int | None = None
    decoder: str = "auto"
    """A name in DECODERS, `pkg.mod:Class` or `path/to/file.py:Class`."""
    allow_partial: bool = False

    def override(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Override the model's own sampling by the user's choice; both are fields of a Sampling.

        Raises:
            UserError: there is no such policy, it has no such setting, or a value does not suit.
        """
        chosen = Sampling.from_dict(own).override(policy=self.policy, **self.settings)
        flags = {"num_frames": self.num_frames, "choose_fps": self.choose_fps, "force_packing": self.packing}
        given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
        if self.packing is not None:
            given["max_packing"] = max(getattr(chosen, "max_packing", 0), self.packing)
        return asdict(chosen.override(**given))


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How much runs at once, and where. No field here changes an answer."""

    executor: str = "auto"
    """A name in EXECUTORS, or `auto`."""
    address: str | None = None
    """A Ray cluster to join; None is this machine."""
    sizes: Wanted = field(default_factory=Wanted)
    clips_per_batch: int = 8
    questions_per_batch: int | None = None
    decode_timeout_seconds: float = 120.0


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """Model, configuration, output folder and workers of a job."""

    output: Path
    config: Mapping[str, Any]
    """All that rows depend on except the model's files, flat and JSON-able, and constant for one output."""
    options: Mapping[str, Any]
    """All options of the command, for the reader of run.json."""
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
    dry_run: bool = False
    """Say what the job would take, and write nothing."""
    log_level: str = "info"
