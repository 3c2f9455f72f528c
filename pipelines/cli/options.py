"""What the batch commands are told: frozen, one class per concern, the docstrings are `--help`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from pipelines.executors.sizing import Wanted
from pipelines.requests.discover import absolute
from pipelines.stages.model_info import ModelSpec
from videollm.errors import UserError
from videollm.features.store import FeatureCache
from videollm.io import is_remote
from videollm.types import Generation


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model answers."""

    model: str = "tiny-stc"
    """An embedded model (tiny-stc, tiny-resampler3d), a folder, or a hub id."""
    connector: str | None = None
    """Another connector: a name of `videollm connectors`, or `pkg.mod:Class`."""
    connector_config: tuple[str, ...] = ()
    """Fields of the connector's Config, `k=v`, one or more."""
    connector_weights: str | None = None
    """Weights of that connector: a .safetensors file or a model folder. Without them it is untrained."""
    thinking: bool = False
    """Let the LLM think before it answers, where it can (MiniCPM-V 4.5)."""
    engine: Literal["builtin", "vllm"] = "builtin"
    """What runs the LLM. `vllm` is the extra of that name, for plain decoders."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, ..."""
    dtype: str = "auto"
    """`auto`, `config` (what the model's config.json says), `float32`, `bfloat16` or `float16`."""

    def spec(self) -> ModelSpec:
        """The model that these options name.

        Raises:
            UserError: a field of the connector's Config does not exist, or does not suit.
        """
        values = dict(vars(self))
        values["name"], pairs = values.pop("model"), values.pop("connector_config")
        if pairs:
            from pipelines.cli.config_values import read_connector_config

            values["connector_config"] = read_connector_config(self.connector, pairs)
        return ModelSpec(**values)


@dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """Which frames the model sees."""

    num_frames: int | None = None
    """Frames of a clip; the model's own number if not given."""
    sampling: str | None = None
    """How frames are chosen: `segment_centers`, `linspace`, `every`, `fps_stride`, `fps_pack`, `pkg.mod:Class` or
    `path/to/file.py:Class`; the model's own policy if not given."""
    choose_fps: float | None = None
    """With `fps_pack`: frames a second, before packing sets in; the model's own number if not given."""
    packing: int | None = None
    """With `fps_pack`: frames that share one set of visual tokens, 1 to 6; by the clip's length if not given."""
    decoder: Literal["auto", "planned", "decord", "pyav"] = "auto"
    """What decodes. `auto` never fails where one of the others works."""
    allow_partial: bool = False
    """Answer from the healthy frames of a damaged video; without it such a video is an error row."""

    def override(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Put what was given in the place of the model's own sampling; both are fields of a Sampling.

        Raises:
            UserError: there is no such policy, or it has no such setting.
        """
        from videollm.video.sampling import Sampling

        chosen = Sampling.from_dict(own).override(policy=self.sampling)
        flags = {"num_frames": self.num_frames, "choose_fps": self.choose_fps, "force_packing": self.packing}
        given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
        if self.packing is not None:
            given["max_packing"] = max(getattr(chosen, "max_packing", 0), self.packing)
        return asdict(chosen.override(**given))


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How answers are generated; what is not given is as the model's makers set it."""

    max_new_tokens: int | None = None
    """Tokens after which an answer is cut."""
    temperature: float | None = None
    """0 is greedy; above 0 samples."""
    top_p: float | None = None
    """Smallest set of tokens with this probability is sampled from; 1 is off."""
    top_k: int | None = None
    """Number of likeliest tokens sampled from; 0 is off."""
    repetition_penalty: float | None = None
    """Divides the logits of tokens already generated; 1 is off."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer (and are cut from it)."""
    seed: int = 0
    """Seed of sampling; with a request's id it fixes its answer, whatever else is in the batch."""

    def given(self) -> dict[str, Any]:
        """Fields of Generation that take the place of the model's own."""
        return {name: value for name, value in vars(self).items() if value not in (None, ())}

    def over(self, own: Generation) -> Generation:
        """The model's own settings with those that were given in their place."""
        return replace(own, **self.given())


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How much runs at once, and where. None of it changes an answer."""

    address: str | None = None
    """Join a running Ray cluster (`auto`, `host:6379`, `ray://host:10001`) instead of starting one here."""
    num_decoders: int | None = None
    """Decoding processes; one a CPU (on a cluster: a CPU that the models leave) if not given."""
    num_encoders: int | None = None
    """With --split-llm: processes that hold tower and connector (1 if not given)."""
    num_llms: int | None = None
    """Processes that hold the LLM (with tower and connector, unless --split-llm); one a GPU, or 1, if not given."""
    split_llm: bool = False
    """Tower and connector in processes of their own, apart from the LLM."""
    gpus_per_encoder: float | None = None
    """GPUs of one encoder; shares are allowed."""
    gpus_per_llm: float | None = None
    """GPUs of one LLM; shares are allowed. 1 where the cluster has GPUs, if not given."""
    clips_per_batch: int = 8
    """Clips whose frames go through the vision tower in one forward."""
    questions_per_batch: int = 32
    """Questions answered at once by one LLM."""
    decode_timeout: Annotated[float, arg(name="decode-timeout")] = 120.0
    """Seconds after which decoding a clip is given up."""

    def wanted(self) -> Wanted:
        """Sizes of the pools, as far as they were given."""
        return Wanted(**{f.name: getattr(self, f.name) for f in fields(Wanted)})


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """What is kept for other jobs. It changes no answer."""

    feature_cache: str | None = None
    """Folder for what the vision tower makes of clips: other questions or connectors on them decode nothing again."""
    feature_cache_gb: float = 50.0
    """Size of that folder; what was unused for longest is deleted."""

    def open(self) -> FeatureCache | None:
        """The feature cache, its folder made.

        Raises:
            UserError: it is no local folder, or its size is not above 0.
            ValueError: it cannot be written.
        """
        if self.feature_cache is None:
            return None
        if is_remote(self.feature_cache):
            raise UserError(f"--feature-cache is {self.feature_cache}, expected a local folder.")
        if not 0 < self.feature_cache_gb < math.inf:
            raise UserError(f"--feature-cache-gb is {self.feature_cache_gb}, expected a number above 0.")
        cache = FeatureCache(Path(absolute(self.feature_cache)), int(self.feature_cache_gb * 1e9))
        cache.check()
        return cache


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What all batch commands have in common."""

    output: Annotated[Path, arg(aliases=("-o",))]
    """Folder for the results; run the same command again to go on after a stop."""
    model: ModelOptions = field(default_factory=ModelOptions)
    frames: FrameOptions = field(default_factory=FrameOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    format: Literal["parquet", "jsonl"] = "parquet"
    """File format of the results."""
    rows_per_shard: int = 10_000
    """Rows of one result file."""
    limit: int | None = None
    """Process at most this many requests."""
    retry_errors: bool = False
    """Run the requests again whose rows say something other than ok."""
    dry_run: bool = False
    """Probe the inputs, time a few clips, print what the job would take, and write nothing."""

    def described(self) -> dict[str, Any]:
        """What the rows depend on, flat and JSON-able: it may not change between the runs into one output."""
        parts = (asdict(self.model), asdict(self.frames), asdict(self.generation), {"format": self.format})
        flat = {name: value for part in parts for name, value in part.items()}
        flat.pop("device")
        return flat


@dataclass(frozen=True, kw_only=True)
class Job(Batch):
    """What `caption` and `answer` have in common."""

    inputs: Positional[tuple[str, ...]]
    """Folders, videos, globs, URLs, or manifests (.csv .jsonl .parquet) with a row per request."""
