"""`videollm eval`: ask a benchmark's questions and score the answers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Final, Literal

from tyro.conf import Positional

from pipelines.cli import options
from pipelines.cli.options import run_batch
from pipelines.cli.score import show
from pipelines.evals.annotations import checked
from pipelines.evals.benchmark import Sample
from pipelines.evals.benchmarks import Benchmark, load_benchmark
from pipelines.evals.scores import check_judge, score_run
from pipelines.evals.variants import requests, save
from pipelines.results.run_record import file_hashes
from videollm.errors import UserError
from videollm.io import is_remote

MAX_LISTED: Final = 20
SETTINGS: Final = {"off": ("plain",), "on": ("subtitles",), "both": ("plain", "subtitles")}
"""--subtitles -> names of the settings that get scores of their own."""


@dataclass(frozen=True, kw_only=True)
class Job(options.Batch):
    """Ask a benchmark's questions, each video decoded and encoded once, and score the answers. Greedy unless told."""

    benchmark: Positional[str]
    """A name (videomme, mvbench, ...), a table of questions (.jsonl, .csv), or `path/to/file.py:Class`."""
    data: Path | None = None
    """Folder with the benchmark's official files; a table of questions has its own folder if this is not given."""
    split: str | None = None
    """Part of the benchmark; its first one if not given."""
    subtitles: Literal["off", "on", "both"] = "off"
    """Show the model the subtitles of the frames it sees; `both` asks every question without and with them."""
    circular: bool = False
    """Ask every rotation of the options too: a question is circularly right if all of them are."""
    prompt: Literal["benchmark", "model"] = "benchmark"
    """Whose wording: the benchmark's official one, or the one that the embedded models and VideoLLaMA2 know."""
    judge: str | None = None
    """For open-ended answers: a causal LM that judges them (a folder, or org/name@revision)."""


def main(job: Job) -> None:
    """Run the eval, or what is left of it, and print its scores."""
    benchmark = load_benchmark(_absolute(job.benchmark))
    folder, split = _folder(job, benchmark), job.split or benchmark.splits[0]
    if split not in benchmark.splits:
        raise UserError(f"--split is {split!r}; {job.benchmark} has {', '.join(benchmark.splits)}.")
    files = benchmark.files(folder, split)
    samples = checked(benchmark.samples(folder, split), files)[: job.limit]
    if job.prompt == "model":  # which shows all options with letters
        samples = [replace(s, lettered=True) for s in samples]
    _check(benchmark, samples)
    _check_options(job, benchmark, samples)
    _show_missing(samples, folder)
    job = replace(job, generation=replace(job.generation, temperature=job.generation.temperature or 0.0))
    settings = SETTINGS[job.subtitles]
    asked = requests(
        samples,
        benchmark,
        subtitles=[s == "subtitles" for s in settings],
        circular=job.circular,
        own_prompt=job.prompt == "benchmark",
        cut=job.generation.max_new_tokens is None and not job.model.thinking,
    )
    if twice := [id for id, times in Counter(r.id for r in asked).items() if times > 1]:
        raise UserError(f"The id {twice[0]!r} is also that of a variant of another question. Rename one of them.")
    described = {
        "command": "eval",
        "benchmark": _absolute(job.benchmark),
        "data": str(folder),
        "split": split,
        "subtitles": list(settings),
        "circular": job.circular,
        "prompt": job.prompt,
        "annotations": {name.removeprefix(f"{folder}/"): digest for name, digest in file_hashes(files).items()},
    }
    run_batch(job, asked, described=described, files=files, on_claimed=lambda: save(samples, job.output))
    if not job.dry_run:
        show(score_run(job.output, job.judge))


def _absolute(benchmark: str) -> str:
    """A benchmark's name that holds from any folder: files by their whole path."""
    path, colon, attribute = benchmark.partition(".py:")
    file = Path(path + ".py") if colon else Path(benchmark)
    return str(file.absolute()) + (f":{attribute}" if colon else "") if file.is_file() else benchmark


def _folder(job: Job, benchmark: Benchmark) -> Path:
    folder = job.data or benchmark.folder
    if folder is None:
        raise UserError(f"{job.benchmark} needs --data: the folder with its official annotation files and videos.")
    if not folder.is_dir():
        raise UserError(
            f"--data is {folder}, expected a folder with the annotation files and videos of {job.benchmark}."
        )
    return folder.absolute()


def _check(benchmark: Benchmark, samples: Sequence[Sample]) -> None:
    """What a benchmark of one's own may get wrong and would only show in the scores."""
    for sample in samples:
        where = f"Question {sample.id!r}"
        if missing := [name for name in benchmark.groups if name not in sample.groups]:
            raise UserError(f"{where} has no group {missing[0]!r}, which its benchmark has a table of.")
        if benchmark.kind == "choice" and not 1 <= len(sample.options) <= len(ascii_uppercase):
            raise UserError(f"{where} has {len(sample.options)} options, expected 1 to {len(ascii_uppercase)}.")
        if benchmark.kind == "choice" and sample.answer not in (None, *range(len(sample.options))):
            raise UserError(f"{where} has answer {sample.answer!r}, expected the index of one of its options.")
        if (
            benchmark.kind != "choice"
            and sample.answer is not None
            and not (sample.answer and isinstance(sample.answer, tuple))
        ):
            raise UserError(f"{where} has answer {sample.answer!r}, expected a tuple of texts that are right.")


def _check_options(job: Job, benchmark: Benchmark, samples: Sequence[Sample]) -> None:
    """What would only show after the run, or never."""
    if job.subtitles != "off" and not any(s.subtitles for s in samples):
        raise UserError(f"--subtitles is {job.subtitles}, but no question of {job.benchmark} comes with subtitles.")
    if job.circular and not any(s.options and s.lettered for s in samples):
        raise UserError(f"--circular rotates lettered options, but no question of {job.benchmark} shows any.")
    check_judge(benchmark, job.judge)


def _show_missing(samples: Sequence[Sample], folder: Path) -> None:
    """Say what will be asked, and which videos are not there.

    Raises:
        UserError: none is there.
    """
    videos = list(dict.fromkeys(s.clip.video for s in samples))
    missing = [v for v in videos if not is_remote(v) and not Path(v).exists()]
    print(f"{len(samples):,} questions on {len(videos):,} videos")
    if len(missing) == len(videos):
        raise UserError(
            f"None of the {len(videos):,} videos is there, the first is {videos[0]}. Is --data {folder} right?"
        )
    if missing:
        print(f"{len(missing):,} videos are missing; their questions count as wrong:", file=sys.stderr)
        for video in missing[:MAX_LISTED]:
            print(f"  {video}", file=sys.stderr)
        if len(missing) > MAX_LISTED:
            print(f"  ... and {len(missing) - MAX_LISTED:,} more", file=sys.stderr)
