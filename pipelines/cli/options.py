"""Options of commands, and their translation for the library: one frozen class per concern, docstrings are `--help`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from pipelines.cli.endpoint_options import EndpointOptions
from pipelines.executors.sizing import Wanted
from pipelines.jobs.job import BatchJob, FrameChoice, Workers
from pipelines.requests.discover import absolute, find
from pipelines.requests.manifest import read
from pipelines.requests.types import BadRequest, JobRequest
from videollm.checkpoints import Options as LoadOptions
from videollm.checkpoints import adapter_of
from videollm.engines import DEFAULT_ENGINE
from videollm.errors import UserError
from videollm.io import is_remote


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model answers."""

    model: str = "tiny-stc"
    """An embedded model (tiny-stc, tiny-resampler3d), a folder, a hub id, or `openai:NAME`: behind the server of
    --base-url."""
    family: str | None = None
    """Layout of the model folder, `pkg.mod:Class` or `path/to/file.py:Class`; by default as config.json says."""
    connector: str | None = None
    """Another connector: a name of `videollm connectors`, or `pkg.mod:Class`."""
    connector_config: tuple[str, ...] = ()
    """Fields of the connector's Config, `k=v`, one or more."""
    connector_weights: str | None = None
    """Weights of that connector: a .safetensors file or a model folder. Without weights the connector is untrained."""
    preset: str | None = None
    """Which frames the model sees and how it is asked, where it knows several ways (CogVLM2-Video: `chat`, `base` or
    `vqa`); by default its usual one."""
    thinking: bool = False
    """Let the LLM think before answering, where the model can (MiniCPM-V 4.5)."""
    engine: str = DEFAULT_ENGINE
    """What runs the LLM: `builtin`, `vllm` (the extra of that name, for plain decoders), or `pkg.mod:Class`; or, for
    the model as a whole, `transformers` (the extra `peers`) or `vllm-native`."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, ..."""
    dtype: str = "auto"
    """`auto`, `config` (as the model's config.json says), `float32`, `bfloat16` or `float16`."""
    endpoint: EndpointOptions = field(default_factory=EndpointOptions)

    def load_options(self) -> LoadOptions:
        """Translate to the library's options of loading a model.

        Raises:
            UserError: a field of the connector's Config does not exist, or does not suit; options of a server for a
                model that has none.
        """
        values = dict(vars(self))
        values["engine_config"] = values.pop("endpoint").given()
        values["name"], pairs = values.pop("model"), values.pop("connector_config")
        if pairs:
            from pipelines.cli.config_values import read_connector_config

            values["connector_config"] = read_connector_config(self.connector, pairs)
        weights = values.pop("connector_weights")
        options = LoadOptions(**values, connector_weights=None if weights is None else Path(weights))
        if (given := self.endpoint.given()) and adapter_of(options) is None:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UserError(f"{flags}: for models behind a server; --model is {self.model!r}, expected openai:NAME.")
        return options


@dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """Which frames the model sees."""

    num_frames: int | None = None
    """Frames per clip; by default the model's own number."""
    sampling: str | None = None
    """How frames are chosen: `segment_centers`, `linspace`, `every`, `fps_stride`, `fps_pack`, `pkg.mod:Class` or
    `path/to/file.py:Class`; by default the model's own policy."""
    sampling_config: tuple[str, ...] | None = None
    """Settings of that policy, `k=v`, one or more."""
    choose_fps: float | None = None
    """With `fps_pack`: frames per second, before packing sets in; by default the model's own number."""
    packing: int | None = None
    """With `fps_pack`: frames that share one set of visual tokens, 1 to 6; by default chosen by the clip's length."""
    decoder: str = "auto"
    """What decodes: `auto` (never fails where one of the others works), `planned`, `pyav`, `decord`, `nvdec` (on the
    GPU; the extra of that name), `pkg.mod:Class` or `path/to/file.py:Class`."""
    allow_partial: bool = False
    """Answer from the healthy frames of a damaged video, which otherwise becomes an error row."""

    def choice(self) -> FrameChoice:
        """Translate to the library's choice of frames.

        Raises:
            UserError: a setting of the policy does not exist, or does not suit.
        """
        from pipelines.cli.config_values import read_sampling_config

        values = dict(vars(self))
        policy, pairs = values.pop("sampling"), values.pop("sampling_config")
        return FrameChoice(policy=policy, settings=read_sampling_config(policy, pairs or ()), **values)


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How answers are generated; the model's makers' settings where an option is not given."""

    max_new_tokens: int | None = None
    """Tokens after which an answer is cut."""
    temperature: float | None = None
    """0 is greedy; above 0 samples."""
    top_p: float | None = None
    """Sample from the smallest set of tokens with this probability; 1 is off."""
    top_k: int | None = None
    """Sample from this many of the likeliest tokens; 0 is off."""
    repetition_penalty: float | None = None
    """Divides the logits of tokens already generated; 1 is off."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer, and are cut off."""
    seed: int = 0
    """Seed of sampling; seed and request id fix an answer, whatever else is in the batch."""

    def given(self) -> dict[str, Any]:
        """Return the fields of Generation that replace the model's own."""
        return {name: value for name, value in vars(self).items() if value not in (None, ())}


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How much runs at once, and where. No option here changes an answer."""

    executor: str = "auto"
    """What runs the work: `local` (in this process), `ray_actors`, ...; `auto` takes what suits the job's size."""
    address: str | None = None
    """Join a running Ray cluster (`auto`, `host:6379`, `ray://host:10001`) instead of starting one here."""
    num_decoders: int | None = None
    """Decoding processes; by default one per CPU (on a cluster: per CPU that the models leave free)."""
    num_encoders: int | None = None
    """With --split-llm: processes that hold tower and connector; by default 1."""
    num_llms: int | None = None
    """Processes that hold the LLM (with tower and connector, unless --split-llm); by default one per GPU, or 1."""
    split_llm: bool = False
    """Tower and connector in processes of their own, apart from the LLM."""
    gpus_per_encoder: float | None = None
    """GPUs of one encoder; shares are allowed."""
    gpus_per_llm: float | None = None
    """GPUs of one LLM: a share of one, or several over which it is spread. By default 1 where the cluster has GPUs."""
    clips_per_batch: int = 8
    """Clips that are taken up together, their frames in as few forwards of the vision tower as memory allows."""
    questions_per_batch: int | None = None
    """Most questions under way in one LLM; by default as many as there is memory for."""
    decode_timeout: Annotated[float, arg(name="decode-timeout")] = 120.0
    """Seconds after which the decoding of a clip is given up."""

    def workers(self) -> Workers:
        """Translate to the library's settings of workers."""
        return Workers(
            executor=self.executor,
            address=self.address,
            sizes=Wanted(**{f.name: getattr(self, f.name) for f in fields(Wanted)}),
            clips_per_batch=self.clips_per_batch,
            questions_per_batch=self.questions_per_batch,
            decode_timeout_seconds=self.decode_timeout,
        )


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """What is kept for other jobs. No option here changes an answer."""

    feature_cache: str | None = None
    """Folder for what the vision tower makes of clips: other questions or connectors on them decode nothing again."""
    feature_cache_gb: float = 50.0
    """Size of that folder in GB; the entries unused for longest are deleted."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options of every batch command."""

    output: Annotated[Path, arg(aliases=("-o",))]
    """Folder for the results; after a stop, the same command continues the job."""
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
    """Run again the requests whose rows are not ok."""
    dry_run: bool = False
    """Probe the inputs, time a few clips, print an estimate of the job, and write nothing."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level written to OUT/logs/; `info` writes one line per call of a stage."""

    def batch_job(self, described: Mapping[str, Any]) -> BatchJob:
        """Build the job that these options ask for.

        Args:
            described: what rows depend on besides these options; flat and JSON-able.
        Raises:
            UserError: the connector's settings are not those of its Config.
        """
        model = {**asdict(self.model), **self.model.endpoint.in_config()}
        del model["endpoint"]
        parts = (model, asdict(self.frames), asdict(self.generation), {"format": self.format})
        config = {name: value for part in parts for name, value in part.items() if name != "device"}
        return BatchJob(
            output=self.output,
            config={**described, **config},
            options=asdict(self),
            model=self.model.load_options(),
            frames=self.frames.choice(),
            generation=self.generation.given(),
            workers=self.workers.workers(),
            feature_cache=self.cache.feature_cache,
            feature_cache_gb=self.cache.feature_cache_gb,
            format=self.format,
            rows_per_shard=self.rows_per_shard,
            retry_errors=self.retry_errors,
            dry_run=self.dry_run,
            log_level=self.log_level,
        )


@dataclass(frozen=True, kw_only=True)
class InputOptions(BatchOptions):
    """Options of `caption` and `answer`, which read inputs."""

    inputs: Positional[tuple[str, ...]]
    """Folders, videos, globs, URLs, or manifests (.csv .jsonl .parquet) with a row per request."""

    def requests(self, *, question: str | None) -> list[JobRequest | BadRequest]:
        """Read the requests of the inputs.

        Args:
            question: asked where an input has none; None makes a question mandatory.
        Raises:
            UserError: an input is missing, unreadable or empty, or lacks a mandatory question.
        """
        return read(self.inputs, default_question=question, limit=self.limit)

    def absolute_inputs(self) -> list[str]:
        """Return the inputs with absolute paths."""
        return [absolute(i) for i in self.inputs]

    def manifests(self) -> list[Path]:
        """Find the manifests among the inputs that lie on this machine."""
        return [Path(f.path) for f in find(self.absolute_inputs()) if f.is_manifest and not is_remote(f.path)]
