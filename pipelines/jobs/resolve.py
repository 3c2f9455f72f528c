"""The first step of a job: all that the job names is found and checked, before anything is written or started.

Neither Ray nor, where the model's folder says enough, torch is imported.
"""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.executors.base import EXECUTORS, num_gpus_here
from pipelines.jobs.job import BatchJob, FrameChoice
from pipelines.requests.discover import absolute
from videollm import checkpoints
from videollm.checkpoints import Options as LoadOptions
from videollm.checkpoints.hub import find_model, is_local
from videollm.engines.settings import check_generation
from videollm.errors import UserError
from videollm.features.store import FeatureCache
from videollm.io import is_remote, quick_hash
from videollm.models.protocol import NO_SCORES, ModelInfo
from videollm.prompts.question import NO_OCR
from videollm.types import Generation
from videollm.video.decoding.base import DECODERS

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """A model that was found and looks loadable, and the frames that it will see."""

    options: LoadOptions
    """How to load the model; a folder has its absolute path, for workers in other folders."""
    info: ModelInfo
    """Facts from the model's configuration."""
    sampling: Mapping[str, Any]
    """Fields of Sampling, the user's choice in the place of the model's own."""
    identity: Mapping[str, Any]
    """Hashes of weights and of the connector's code, on which rows depend."""


@dataclass(frozen=True, kw_only=True)
class ResolvedJob:
    """A job whose parts all exist."""

    job: BatchJob
    model: ResolvedModel
    cache: FeatureCache | None

    @property
    def config(self) -> dict[str, Any]:
        """All that the rows depend on."""
        return {**self.job.config, "model": self.model.identity}


def resolve_job(job: BatchJob) -> ResolvedJob:
    """Find and check everything that a job names.

    Raises:
        UserError: something is missing, or is not what it should be.
    """
    if re.match(r"\w+:/", str(job.output)):
        raise UserError(f"-o is {job.output}, expected a local folder. Copy the results from there when they are done.")
    executor, on_cluster = job.workers.executor, job.workers.address is not None
    if executor == "local" and on_cluster:
        raise UserError(f"--executor local runs in this process, --address {job.workers.address} elsewhere. Leave one.")
    if executor != "auto" and executor not in EXECUTORS:
        EXECUTORS.load(executor)  # `pkg.mod:Class`, or says which there are
    if executor != "local" and job.frames.decoder != FrameChoice.decoder and DECODERS[job.frames.decoder].on_gpu:
        raise UserError(
            f"--decoder {job.frames.decoder} decodes on a GPU, and Ray's decoding processes get none. Add --executor "
            "local, or take the decoder auto."
        )
    check_generation(Generation(**job.generation))
    for name, value in _sizes(job).items():
        may_be_none = name.startswith("gpus-")
        if not (0 < value < math.inf or (may_be_none and value == 0)):
            raise UserError(f"--{name} is {value}, expected a number above 0{', or 0' * may_be_none}.")
        if may_be_none and value > 1 and value % 1:
            raise UserError(f"--{name} is {value:g}, expected a whole number, or a share of one GPU.")
    adapter = checkpoints.adapter_of(job.model)
    if adapter is not None:
        _check_whole(job, spreads=adapter.spreads)
    wanted, here = job.workers.sizes.gpus_per_llm or 0, num_gpus_here()
    if wanted > max(1, here) and not on_cluster and job.model.device != "cpu":
        raise UserError(f"--gpus-per-llm is {wanted:g}, and torch sees {here:g} GPUs on this machine. Give so many.")
    return ResolvedJob(job=job, model=resolve(job.model, job.frames, on_cluster=on_cluster), cache=_open_cache(job))


def _check_whole(job: BatchJob, *, spreads: bool) -> None:
    """Check that nothing is asked of the parts of a model that runs as a whole."""
    sizes = job.workers.sizes
    given = {
        "--feature-cache": job.feature_cache is not None,
        "--split-llm": sizes.split_llm,
        "--num-encoders": sizes.num_encoders is not None,
        "--gpus-per-encoder": sizes.gpus_per_encoder is not None,
        "--gpus-per-llm": sizes.gpus_per_llm is not None and not spreads,
    }
    if flags := [flag for flag, is_given in given.items() if is_given]:
        raise UserError(
            f"{job.model.name} runs as a whole: {', '.join(flags)} cannot be applied. Leave out what cannot, or take a "
            "model of parts (`videollm models`)."
        )


def _sizes(job: BatchJob) -> dict[str, float]:
    """Collect the options that are sizes, by flag."""
    workers = job.workers
    given = {name.replace("_", "-"): value for name, value in asdict(workers.sizes).items() if value is not None}
    return {
        **{name: value for name, value in given.items() if not isinstance(value, bool)},
        "clips-per-batch": workers.clips_per_batch,
        **({} if workers.questions_per_batch is None else {"questions-per-batch": workers.questions_per_batch}),
        "decode-timeout": workers.decode_timeout_seconds,
        "rows-per-shard": job.rows_per_shard,
    }


def resolve(options: LoadOptions, frames: FrameChoice, *, on_cluster: bool = False) -> ResolvedModel:
    """Find and check a model, and the choice of frames.

    Args:
        on_cluster: whether the model runs on other machines, whose devices are not known here.
    Raises:
        UserError: something is missing, or is not what it should be.
    """
    if not DEVICE.fullmatch(options.device):
        raise UserError(f"--device is {options.device!r}, expected auto, cpu, cuda or cuda:N.")
    if options.device.startswith("cuda") and not on_cluster and not num_gpus_here():
        raise UserError(f"--device is {options.device!r}, and torch sees no GPU on this machine. Use cpu or auto.")
    adapter = checkpoints.adapter_of(options)
    if adapter is not None and not adapter.uses_device:
        options = replace(options, device="cpu")
    if (folder := Path(options.name).expanduser()).is_dir():
        options = replace(options, name=str(folder.absolute()))
    if frames.decoder != FrameChoice.decoder:  # the default can always be tried, and importing it is slow
        DECODERS.load(frames.decoder).check()  # `pkg.mod:Class`, or says which there are
    info = checkpoints.resolve(options).info
    sampling = frames.override(info.sampling)
    return ResolvedModel(options=options, info=info, sampling=sampling, identity=identify(options))


def check_ocr(info: ModelInfo, texts: Iterable[str | None]) -> None:
    """Check that a model takes text of pictures, where requests bring any.

    Raises:
        UserError: it takes none.
    """
    if not info.takes_ocr and any(texts):
        raise UserError(f"{info.name}: {NO_OCR}")


def check_scores(info: ModelInfo, scored: Iterable[bool]) -> None:
    """Check that a model scores texts, where requests ask for it.

    Args:
        scored: of each request, whether it does.
    Raises:
        UserError: it does not.
    """
    if not info.can_score and any(scored):
        raise UserError(f"{info.name}: {NO_SCORES}")


def identify(options: LoadOptions) -> dict[str, Any]:
    """Hash the weights and the connector's code, as far as they are on this machine: file name -> hash."""
    found: dict[str, Any] = {"name": options.name}
    if is_local(options.name):
        found["files"] = _hashes(find_model(options.name))
    if options.connector_weights is not None:
        found["connector_weights"] = _hashes(options.connector_weights)
    if options.connector is not None:
        from connectors import CONNECTORS

        source = inspect.getsourcefile(CONNECTORS.load(options.connector))
        found["connector_code"] = None if source is None else quick_hash(Path(source))
    return found


def _hashes(place: Path) -> dict[str, str]:
    """Hash the content of a file, or of a folder's files, by name; {} if there is none."""
    if not place.is_dir():
        return {place.name: quick_hash(place)} if place.is_file() else {}
    files = {str(f.relative_to(place)): f for f in sorted(place.rglob("*")) if f.is_file()}
    return {name: quick_hash(f) for name, f in files.items() if not name.startswith(".")}


def _open_cache(job: BatchJob) -> FeatureCache | None:
    """Return the feature cache, whose folder is not made yet."""
    folder, gb = job.feature_cache, job.feature_cache_gb
    if folder is None:
        return None
    if is_remote(folder):
        raise UserError(f"--feature-cache is {folder}, expected a local folder.")
    if not 0 < gb < math.inf:
        raise UserError(f"--feature-cache-gb is {gb}, expected a number above 0.")
    path = Path(absolute(folder))
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"The feature cache {folder} cannot be written: {nearest} is no folder of yours. Name another.")
    return FeatureCache(path, int(gb * 1e9))
