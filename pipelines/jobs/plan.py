"""The second step of a job: the clips, and the stages from clips to rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pipelines.executors.base import Executor, Resources, num_gpus_here
from pipelines.executors.sizing import PoolSizes, size_pools
from pipelines.jobs.resolve import ResolvedJob
from pipelines.requests.manifest import group
from pipelines.requests.types import BadRequest, ClipTask, JobRequest
from pipelines.stages.base import Item, StageSpec
from pipelines.stages.decode import Decode
from pipelines.stages.model import Answer, Encode, EncodeAnswer
from videollm.engines import DEFAULT_ENGINE
from videollm.models.protocol import ModelInfo

MAX_LOCAL_CLIPS: Final = 1000
"""Clips up to which `auto` takes them through this process: a worker that dies takes the job along, which is then to be
started again, and the less there is to do, the more the start of a cluster costs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The requests of a job, and the stages that answer them."""

    resolved: ResolvedJob
    requests: Sequence[JobRequest | BadRequest]

    @property
    def tasks(self) -> list[ClipTask]:
        """The clips, each with its requests."""
        return group([r for r in self.requests if isinstance(r, JobRequest)])

    @property
    def bad(self) -> list[BadRequest]:
        """Manifest rows that are no requests."""
        return [r for r in self.requests if isinstance(r, BadRequest)]

    def executor_name(self, num_clips: int, *, interrupted: bool) -> str:
        """Choose the executor: the user's choice, or one that suits the job.

        Args:
            interrupted: whether an earlier run ended without a record of why: a clip may have ended its process.
        """
        workers, sizes = self.resolved.job.workers, self.resolved.job.workers.sizes
        if workers.executor != "auto":
            return workers.executor
        all_gpus = num_gpus_here() <= max(1, sizes.gpus_per_llm or 1)
        one_model = sizes.num_llms in (None, 1) and not sizes.split_llm and all_gpus
        here = workers.address is None and self.resolved.model.options.engine == DEFAULT_ENGINE
        return "local" if here and one_model and num_clips <= MAX_LOCAL_CLIPS and not interrupted else "ray_actors"

    def executor_config(self) -> Executor.Config:
        """Say where stages run, and which code stages need."""
        module, colon, _ = (self.resolved.model.options.connector or "").partition(":")
        by_import = colon and not module.endswith(".py")  # a file must lie where every worker sees it
        return Executor.Config(address=self.resolved.job.workers.address, module=module if by_import else None)

    def sizes(self, resources: Resources) -> PoolSizes:
        """Compute the number of workers of each stage."""
        workers = self.resolved.job.workers
        return size_pools(
            workers.sizes,
            device=self.resolved.model.options.device,
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            on_cluster=workers.address is not None,
        )

    def model_stages(self, sizes: PoolSizes) -> list[StageSpec]:
        """Build the specs of the stages that hold a model."""
        wanted, options = self.resolved.job.workers.sizes, self.resolved.model.options
        folder = Path(options.name) if Path(options.name).is_dir() else None
        answer = StageSpec(
            stage=Answer if wanted.split_llm else EncodeAnswer,
            config=self.answer_config(sizes),
            num_workers=sizes.num_llms,
            elastic=wanted.num_llms is None,
            batch_size=self.resolved.job.workers.clips_per_batch,
            num_gpus=sizes.gpus_per_llm,
            folder=folder,
        )
        if not wanted.split_llm:
            return [answer]
        encoder = Encode.Config(
            model=replace(options, engine=DEFAULT_ENGINE, engine_config={}, answers=False),
            num_threads=sizes.num_threads,
            cache=self.resolved.cache,
        )
        encode = replace(
            answer,
            stage=Encode,
            config=encoder,
            num_workers=sizes.num_encoders,
            elastic=wanted.num_encoders is None,
            num_gpus=sizes.gpus_per_encoder,
        )
        return [encode, answer]

    def answer_config(self, sizes: PoolSizes) -> EncodeAnswer.Config:
        """Build the settings of loading and asking the model; the GPUs of a worker are the devices of its LLM."""
        options = self.resolved.model.options
        if sizes.gpus_per_llm >= 2:
            spread = {**options.engine_config, "num_devices": int(sizes.gpus_per_llm)}
            options = replace(options, engine_config=spread)
        elif 0 < sizes.gpus_per_llm < 1 and options.engine == DEFAULT_ENGINE:  # others plan with the same memory
            shared = {**options.engine_config, "memory_share": sizes.gpus_per_llm}
            options = replace(options, engine_config=shared)
        return EncodeAnswer.Config(
            model=options,
            num_threads=sizes.num_threads,
            cache=self.resolved.cache,
            generation=self.resolved.job.generation,
            questions_per_batch=self.resolved.job.workers.questions_per_batch,
        )

    def decode_stage(self, sizes: PoolSizes, info: ModelInfo) -> StageSpec:
        """Build the spec of the decoding stage, which comes first.

        Args:
            info: of the model; with the tower's key where there is a feature cache.
        """
        job = self.resolved.job
        config = Decode.Config(
            sampling=self.resolved.model.sampling,
            frame_size=info.frame_size,
            decoder=job.frames.decoder,
            allow_partial=job.frames.allow_partial,
            timeout_seconds=job.workers.decode_timeout_seconds,
            cache=self.resolved.cache,
            tower_key=info.tower_key,
        )
        return StageSpec(
            stage=Decode,
            config=config,
            num_workers=sizes.num_decoders,
            elastic=job.workers.sizes.num_decoders is None,
        )


def make_items(tasks: Iterator[ClipTask | None], info: ModelInfo) -> Iterator[Item | None]:
    """Make the items of the first stage."""
    for task in tasks:
        yield None if task is None else Item(task=task, model=info.name, connector=info.connector)
