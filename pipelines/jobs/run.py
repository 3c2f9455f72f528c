"""A batch job from its inputs to its output: what is done is read, the rest is run, each row is kept at once."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from tqdm import tqdm

from pipelines.cli.options import Batch, Job
from pipelines.executors.base import EXECUTORS, Executor
from pipelines.executors.sizing import PoolSizes, size_pools
from pipelines.requests.discover import absolute
from pipelines.requests.manifest import group, read
from pipelines.requests.types import BadRequest, JobRequest
from pipelines.results.journal import Output
from pipelines.results.run_record import Record, file_hashes, manifests, model_identity
from pipelines.results.schema import OK, ResultRow, bad_request_row
from pipelines.stages.base import Finished, Item, StageSpec
from pipelines.stages.decode import Decode
from pipelines.stages.encode import Encode
from pipelines.stages.generate import Answer, EncodeAnswer
from pipelines.stages.model_info import read_model_info
from videollm.errors import UserError
from videollm.models.protocol import ModelInfo

if TYPE_CHECKING:
    from videollm.features.store import FeatureCache

NUM_EXAMPLES: Final = 3
SECONDS: Final = ("decode_seconds", "encode_seconds", "generate_seconds")


def run_inputs(job: Job, command: str, *, question: str | None) -> None:
    """Ask what the inputs of `caption` and `answer` bring.

    Args:
        command: which of them; part of the configuration.
        question: asked where an input brings none; None makes the question a must.
    Raises:
        UserError: bad input, or see `run`.
    """
    requests = read(job.inputs, default_question=question, limit=job.limit)
    inputs = [absolute(i) for i in job.inputs]
    asked = {} if question is None else {"prompt": question}
    run(job, requests, described={"command": command, "inputs": inputs, **asked}, files=manifests(inputs))


def run(
    job: Batch,
    requests: Sequence[JobRequest | BadRequest],
    *,
    described: Mapping[str, Any],
    files: Sequence[Path],
    begun: Callable[[], None] | None = None,
) -> None:
    """Run a job, or what is left of it.

    Args:
        described: what its rows depend on, besides the job's own settings.
        files: where the requests come from; their hashes are recorded.
        begun: called once it is clear that the output folder is this job's.
    Raises:
        UserError: another configuration in the output, or a full disk. What is finished stays finished.
    """
    if re.match(r"\w+:/", str(job.output)):
        raise UserError(f"-o is {job.output}, expected a local folder. Copy the results from there when they are done.")
    if (folder := Path(job.model.model).expanduser()).is_dir():  # workers may stand in another folder
        job = replace(job, model=replace(job.model, model=str(folder.absolute())))
    if job.dry_run:
        from pipelines.jobs.estimate import dry_run

        dry_run(job, requests)
        return
    cache = job.cache.open()
    with Output(job.output, job.format, job.rows_per_shard) as output:
        record = Record(job.output)
        config = {**described, **job.described(), "model": model_identity(job.model.spec())}
        record.begin(config, asdict(job))
        record.note(files=file_hashes(files))
        if begun is not None:
            begun()
        output.load(drop_errors=job.retry_errors)
        left = [r for r in requests if not _is_done(r, output)]
        progress = _Progress(output, left, has_cache=cache is not None)
        if left:
            _work(job, cache, left, output, record, progress)
        output.flush()
        record.finish(rows=dict(output.counts()), **progress.facts())
        progress.summary(already=len(requests) - len(left))


def _is_done(request: JobRequest | BadRequest, output: Output) -> bool:
    done = output.done.get(request.id)
    if done is not None and done.fingerprint != request.fingerprint:
        raise UserError(
            f"Request {request.id!r} asks something else than when it was answered into {output.folder}. Use another "
            "-o, or give changed requests new ids (rows that are not ok are made again with --retry-errors)."
        )
    return done is not None


def _work(
    job: Batch,
    cache: FeatureCache | None,
    left: Sequence[JobRequest | BadRequest],
    output: Output,
    record: Record,
    progress: _Progress,
) -> None:
    tasks = group([r for r in left if isinstance(r, JobRequest)])
    progress.keep([bad_request_row(r) for r in left if isinstance(r, BadRequest)])
    if not tasks:
        return
    address, module = job.workers.address, (job.model.connector or "").partition(":")
    config = Executor.Config(address=address, module=module[0] if module[1] else None)
    with EXECUTORS.load("ray_actors")(config) as executor:
        there = executor.resources()
        size = size_pools(job.workers.wanted(), device=job.model.device, num_cpus=there.num_cpus,
                          num_gpus=there.num_gpus, on_cluster=address is not None)  # fmt: skip
        models = _model_stages(job, cache, size)
        info = (read_model_info(job.model.spec()) if cache is None else None) or executor.describe(models[0])
        decode = StageSpec(stage=Decode, config=decode_config(job, cache, info), num_workers=size.num_decoders)
        record.note(notice=info.notice, sampling=decode.config.sampling, frame_size=info.frame_size,
                    workers=asdict(size), start_seconds=progress.elapsed())  # fmt: skip
        with progress.bar(len(tasks)):
            if info.notice:
                tqdm.write(info.notice, file=sys.stderr)
            items = (Item(task=t, model=info.name, connector=info.connector) for t in tasks)
            for finished in executor.run([decode, *models], items):
                progress.keep_clip(finished)
        for warning in progress.warnings:
            print(warning, file=sys.stderr)
        record.note(**(executor.describe(models[0]).loaded or {}))


def _model_stages(job: Batch, cache: FeatureCache | None, size: PoolSizes) -> list[StageSpec]:
    """Describe the stages that hold a model."""
    spec, workers = job.model.spec(), job.workers
    folder = Path(spec.name) if Path(spec.name).is_dir() else None
    config = Answer.Config(
        model=spec,
        num_threads=size.num_threads,
        cache=cache,
        generation=job.generation.given(),
        questions_per_batch=workers.questions_per_batch,
    )
    answer = StageSpec(stage=Answer if workers.split_llm else EncodeAnswer, config=config, num_workers=size.num_llms,
                       batch_size=workers.clips_per_batch, num_gpus=size.gpus_per_llm, folder=folder)  # fmt: skip
    if not workers.split_llm:
        return [answer]
    encoder = replace(spec, engine="builtin")  # it answers nothing, so it starts no other engine
    encode = StageSpec(
        stage=Encode,
        config=Encode.Config(model=encoder, num_threads=size.num_threads, cache=cache),
        num_workers=size.num_encoders,
        batch_size=workers.clips_per_batch,
        num_gpus=size.gpus_per_encoder,
        folder=folder,
    )
    return [encode, answer]


def decode_config(job: Batch, cache: FeatureCache | None, info: ModelInfo) -> Decode.Config:
    """What the job decodes of its clips."""
    return Decode.Config(
        sampling=job.frames.override(info.sampling),
        frame_size=info.frame_size,
        decoder=job.frames.decoder,
        allow_partial=job.frames.allow_partial,
        timeout_seconds=job.workers.decode_timeout,
        cache=cache,
        tower_key=info.tower_key,
    )


class _Progress:
    """Counts what is done, on a bar and in a summary."""

    def __init__(self, output: Output, left: Sequence[Any], *, has_cache: bool) -> None:
        self.output, self.num_left, self.has_cache = output, len(left), has_cache
        self.began = time.monotonic()
        self.clips = 0
        self.num_cached = 0
        """Clips whose features came from the feature cache."""
        self.warnings: dict[str, None] = {}
        """What could not be done though all rows are there, each once."""
        self.rows: Counter[str] = Counter()
        self.examples: list[ResultRow] = []
        """The first answers, to show."""
        self.seconds = dict.fromkeys(SECONDS, 0.0)
        self._bar: Any = None

    def bar(self, num_clips: int) -> Any:
        """Show a bar while clips are done."""
        self._bar = tqdm(total=num_clips, unit="clip", dynamic_ncols=True, disable=None, smoothing=0.05)
        return self._bar

    def keep_clip(self, finished: Finished | None) -> None:
        """Keep the rows of a clip; None: only redraw."""
        if finished is None:
            self._bar.refresh()
            return
        self.keep(finished.rows)
        self.clips += 1
        self.num_cached += finished.from_cache
        self.warnings |= dict.fromkeys(finished.warnings)
        errors = self.rows.total() - self.rows[OK]
        self._bar.set_postfix_str(f"{errors} error{'s' if errors != 1 else ''}", refresh=False)
        self._bar.update()

    def keep(self, rows: Sequence[ResultRow]) -> None:
        """Keep rows."""
        self.output.append(rows)
        self.examples += [r for r in rows if r.status == OK][: NUM_EXAMPLES - len(self.examples)]
        self.rows.update(str(r.status) for r in rows)
        for row in rows:
            for name in SECONDS:
                self.seconds[name] += getattr(row, name)

    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self.began

    def facts(self) -> dict[str, Any]:
        """What this session did."""
        return {
            "wall_seconds": time.monotonic() - self.began,
            "clips": self.clips,
            "clips_from_cache": self.num_cached if self.has_cache else None,
            "made": dict(self.rows),
        } | self.seconds

    def summary(self, already: int) -> None:
        """Print what is in the output now, and what it took."""
        counts = self.output.counts()
        by_status = ", ".join(f"{n:,} {status}" for status, n in counts.most_common()) or "none"
        if self.num_left == 0:
            print(f"Nothing to do: all {already:,} rows are in {self.output.folder} ({by_status}).")
            return
        wall = self.elapsed()
        busy = sum(self.seconds.values()) or 1.0
        shares = ", ".join(f"{name.removesuffix('_seconds')} {s / busy:.0%}" for name, s in self.seconds.items())
        for row in self.examples:
            print(_shown(row))
        print(f"{counts.total():,} rows in {self.output.folder}: {by_status}.")
        cached = f" ({self.num_cached:,} from the feature cache)" if self.has_cache else ""
        print(f"This run: {self.clips:,} clips{cached}, {self.rows.total():,} rows in {wall:.1f} s, "
              f"{self.clips / wall:.2f} clips/s; time of the workers: {shares}.")  # fmt: skip
        if errors := counts.total() - counts[OK]:
            print(f"{errors:,} rows are errors; column `error` says why. --retry-errors runs them again.")
        sys.stdout.flush()


def _shown(row: ResultRow) -> str:
    """A row as one line: what was asked of which video, and the answer's beginning."""
    asked = f"{Path(row.video or '').name}  {row.question}"
    return f"{shorten(asked, 80)}  ->  {shorten(row.answer or '', 120)}"
