"""A batch job from options to the last row, in four steps: resolve, plan, claim, execute.

Nothing is written before `claim`, and nothing but this process runs before `execute`: a job that names what does
not exist fails in seconds and leaves no trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from pipelines.executors.base import EXECUTORS
from pipelines.jobs.interrupts import noticing_interrupts
from pipelines.jobs.job import BatchJob
from pipelines.jobs.logs import logging_to
from pipelines.jobs.plan import Plan, make_items
from pipelines.jobs.progress import Progress
from pipelines.jobs.resolve import ResolvedJob, check_ocr, check_scores, resolve_job
from pipelines.jobs.work import ByClip, Method
from pipelines.requests.types import BadRequest, JobRequest
from pipelines.results.journal import Output
from pipelines.results.run_record import Record, file_hashes
from pipelines.results.schema import bad_request_row
from videollm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An output folder held by this job, and the plan of the remaining work."""

    output: Output
    record: Record
    num_done: int
    """Requests that already had rows."""
    left: Plan


def run(
    job: BatchJob,
    requests: Sequence[JobRequest | BadRequest],
    *,
    method: Callable[[ResolvedJob], Method] = lambda _: ByClip(),
    files: Sequence[Path] = (),
    on_claimed: Callable[[], None] | None = None,
) -> None:
    """Run a job, or the rest of it; a dry run ends after the plan, with an estimate of the rest.

    Args:
        method: how the job goes about its requests; it may refuse what was resolved.
        files: where the requests come from; their hashes are recorded.
        on_claimed: called once this job holds the output folder.
    Raises:
        UserError: something that the job names is missing, the output holds rows of another configuration, or the
            disk is full. What is finished stays finished.
    """
    plan = Plan(resolved=resolve_job(job), requests=requests)
    asked, info = [request for request in requests if isinstance(request, JobRequest)], plan.resolved.model.info
    check_ocr(info, (request.ocr for request in asked))
    check_scores(info, (bool(request.continuations) for request in asked))
    how = method(plan.resolved)
    how.check(plan)
    if job.dry_run:
        how.dry_run(plan)
        return
    with claim(plan) as claimed, logging_to(job.output / "logs", job.log_level):
        claimed.record.note(files=file_hashes(files))
        if on_claimed is not None:
            on_claimed()
        progress = Progress(
            claimed.output, num_left=len(claimed.left.requests), has_cache=plan.resolved.cache is not None
        )
        if claimed.left.requests:
            execute(claimed, progress, how)
        claimed.output.flush()
        claimed.record.finish(rows=dict(claimed.output.counts()), **progress.facts())
        progress.summary(already=claimed.num_done)


@contextmanager
def claim(plan: Plan) -> Iterator[Claim]:
    """Take the output folder, which only one job at a time may write into.

    Raises:
        UserError: another job writes there, or the folder holds rows of another configuration or request.
    """
    job, cache = plan.resolved.job, plan.resolved.cache
    if cache is not None:
        cache.check()
    with Output(job.output, job.format, job.rows_per_shard) as output:
        record = Record(job.output)
        record.begin(plan.resolved.config, job.options, replace=output.is_empty())
        output.load(drop_errors=job.retry_errors)
        left = [r for r in plan.requests if not _is_done(r, output)]
        try:
            yield Claim(
                output=output,
                record=record,
                num_done=len(plan.requests) - len(left),
                left=replace(plan, requests=left),
            )
        except BaseException as error:
            record.note(ended=type(error).__name__)
            raise


def execute(claimed: Claim, progress: Progress, method: Method) -> None:
    """Execute the remaining plan; keep every row at once."""
    plan, record = claimed.left, claimed.record
    progress.keep([bad_request_row(bad) for bad in plan.bad])
    work = method.work(plan, claimed.output)
    if not work.num_tasks:
        return
    name = plan.executor_name(work.num_tasks, interrupted=record.interrupted)
    with EXECUTORS.load(name)(plan.executor_config()) as executor:
        executor.notify = lambda message: tqdm.write(message, file=sys.stderr)
        sizes = plan.sizes(executor.resources())
        models = plan.model_stages(sizes)
        info = plan.resolved.model.info
        if plan.resolved.cache is not None:  # the names of its entries depend on the tower's weights
            info = executor.describe(models[0])
        decode = plan.decode_stage(sizes, info)
        record.note(executor=name, notice=info.notice, sampling=decode.config.sampling, frame_size=info.frame_size,
                    workers=asdict(sizes), start_seconds=progress.elapsed())  # fmt: skip
        watch = progress.watch(executor, [decode, *models], num_clips=work.num_tasks)
        with noticing_interrupts() as check_interrupt, watch:
            if info.notice:
                tqdm.write(info.notice, file=sys.stderr)
            for finished in executor.run([decode, *models], make_items(work.tasks(), info)):
                rows = tuple(work.take(finished))
                progress.keep_clip(finished and replace(finished, rows=rows), num_clips=work.num_tasks)
                if finished is None and rows:
                    progress.keep(rows)
                check_interrupt()
            progress.keep(work.take(None))
        for warning in progress.warnings:
            print(warning, file=sys.stderr)
        record.note(**(executor.describe(models[0]).loaded or {}))


def _is_done(request: JobRequest | BadRequest, output: Output) -> bool:
    done = output.done.get(request.id)
    if done is not None and done.fingerprint != request.fingerprint:
        raise UserError(
            f"Request {request.id!r} asks something else than when it was answered into {output.folder}. Use another "
            "-o, or give changed requests new ids (rows that are not ok are made again with --retry-errors)."
        )
    return done is not None
