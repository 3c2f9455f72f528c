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
from pipelines.executors.sizing import Sizes, sizes
from pipelines.requests.discover import absolute
from pipelines.requests.manifest import Entry, Refused, group, read
from pipelines.results.journal import Output
from pipelines.results.run_record import Record, file_hashes, manifests, model_identity
from pipelines.results.schema import OK, Row, refused
from pipelines.stages.clip_stages import Answer, AnswerOptions, Decode, Encode, EncodeAnswer, Work
from pipelines.stages.model_info import Card, peek
from videollm.errors import UserError

if TYPE_CHECKING:
    from pipelines.executors.ray_actors import Pool, Runner
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
    requests: Sequence[Entry | Refused],
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
        config = {**described, **job.described(), "model": model_identity(job.model)}
        record.begin(config, asdict(job))
        record.note(files=file_hashes(files))
        if begun is not None:
            begun()
        output.load(drop_errors=job.retry_errors)
        left = [r for r in requests if not _is_done(r, output)]
        progress = _Progress(output, left)
        if left:
            _work(job, cache, left, output, record, progress)
        output.flush()
        record.finish(rows=dict(output.counts()), **progress.facts())
        progress.summary(already=len(requests) - len(left))


def _is_done(request: Entry | Refused, output: Output) -> bool:
    id = request.request.id if isinstance(request, Entry) else request.id
    done = output.done.get(id)
    if done is not None and done.fingerprint != request.fingerprint:
        raise UserError(
            f"Request {id!r} asks something else than when it was answered into {output.folder}. Use another -o, or "
            "give changed requests new ids (rows that are not ok are made again with --retry-errors)."
        )
    return done is not None


def _work(
    job: Batch,
    cache: FeatureCache | None,
    left: Sequence[Entry | Refused],
    output: Output,
    record: Record,
    progress: _Progress,
) -> None:
    tasks = group([r for r in left if isinstance(r, Entry)])
    progress.took([refused(r) for r in left if isinstance(r, Refused)])
    if not tasks:
        return
    from pipelines.executors.ray_actors import Runner

    with Runner(job.workers, job.model.connector) as runner:
        cpus, gpus = runner.resources()
        size = sizes(job.workers, device=job.model.device, num_cpus=cpus, num_gpus=gpus)
        card = _start(job, cache, runner, size)
        record.note(notice=card.notice, sampling=card.sampling, frame_size=card.frame_size, workers=asdict(size),
                    start_seconds=progress.elapsed())  # fmt: skip
        with progress.bar(len(tasks)):
            if card.notice:
                tqdm.write(card.notice, file=sys.stderr)
            runner.run((Work(task=t) for t in tasks), card, progress.took_clip)
        if cache is not None:
            progress.num_cached = runner.num_cached
            for problem in runner.problems():
                print(problem, file=sys.stderr)
        loaded = runner.loaded()
        record.note(**(loaded.loaded or {}))


def _start(job: Batch, cache: FeatureCache | None, runner: Runner, size: Sizes) -> Card:
    """Start all pools. Decoders begin while the models still load, where the model's folder says what to decode."""
    from pipelines.executors.ray_actors import Pool

    workers = job.workers
    options = AnswerOptions(
        model=job.model,
        generation=job.generation,
        questions_per_batch=workers.questions_per_batch,
        num_threads=size.num_threads,
        cache=cache,
    )
    folder = Path(job.model.model)
    brought = folder if workers.address is not None and folder.is_dir() else None

    def pool(stage: type, *arguments: Any, size: int, num_gpus: float = 0.0) -> Pool:
        return Pool(stage=stage, arguments=arguments, size=size, clips_per_call=workers.clips_per_batch,
                    num_gpus=num_gpus, model_folder=brought)  # fmt: skip

    if workers.split_llm:
        encoder = replace(job.model, engine="builtin")  # it answers nothing, so it starts no other engine
        encode = pool(Encode, encoder, size.num_threads, cache, size=size.num_encoders, num_gpus=size.gpus_per_encoder)
        runner.start([encode, pool(Answer, options, size=size.num_llms, num_gpus=size.gpus_per_llm)])
    else:
        runner.start([pool(EncodeAnswer, options, size=size.num_llms, num_gpus=size.gpus_per_llm)])
    runner.load(job.frames)
    card = (peek(job.model, job.frames) if cache is None else None) or runner.loaded()
    decode = (card, job.frames, workers.decode_timeout, cache)
    runner.decode_with(Pool(stage=Decode, arguments=decode, size=size.num_decoders))
    return card


class _Progress:
    """Counts what is done, on a bar and in a summary."""

    def __init__(self, output: Output, left: Sequence[Any]) -> None:
        self.output, self.num_left = output, len(left)
        self.began = time.monotonic()
        self.clips = 0
        self.num_cached: int | None = None
        """Of them, how many came from the feature cache; None without one."""
        self.rows: Counter[str] = Counter()
        self.examples: list[Row] = []
        """The first answers, to show."""
        self.seconds = dict.fromkeys(SECONDS, 0.0)
        self._bar: Any = None

    def bar(self, num_clips: int) -> Any:
        """Show a bar while clips are done."""
        self._bar = tqdm(total=num_clips, unit="clip", dynamic_ncols=True, disable=None, smoothing=0.05)
        return self._bar

    def took_clip(self, rows: list[Row]) -> None:
        """Keep the rows of a clip; no rows: only redraw."""
        if not rows:
            self._bar.refresh()
            return
        self.took(rows)
        self.clips += 1
        errors = self.rows.total() - self.rows[OK]
        self._bar.set_postfix_str(f"{errors} error{'s' if errors != 1 else ''}", refresh=False)
        self._bar.update()

    def took(self, rows: Sequence[Row]) -> None:
        """Keep rows."""
        self.output.append(rows)
        self.examples += [r for r in rows if r["status"] == OK][: NUM_EXAMPLES - len(self.examples)]
        self.rows.update(r["status"] for r in rows)
        for row in rows:
            for name in SECONDS:
                self.seconds[name] += row[name]

    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self.began

    def facts(self) -> dict[str, Any]:
        """What this session did."""
        return {
            "wall_seconds": time.monotonic() - self.began,
            "clips": self.clips,
            "clips_from_cache": self.num_cached,
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
        cached = "" if self.num_cached is None else f" ({self.num_cached:,} from the feature cache)"
        print(f"This run: {self.clips:,} clips{cached}, {self.rows.total():,} rows in {wall:.1f} s, "
              f"{self.clips / wall:.2f} clips/s; time of the workers: {shares}.")  # fmt: skip
        if errors := counts.total() - counts[OK]:
            print(f"{errors:,} rows are errors; column `error` says why. --retry-errors runs them again.")
        sys.stdout.flush()


def _shown(row: Row) -> str:
    """A row as one line: what was asked of which video, and the answer's beginning."""
    asked = f"{Path(row['video']).name}  {row['question']}"
    return f"{shorten(asked, 80)}  ->  {shorten(row['answer'], 120)}"
