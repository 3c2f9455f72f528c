"""An eval from what it names to the requests of its job: benchmark, questions, and all that can be checked before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final, Literal

from pipelines.evals.annotations import checked
from pipelines.evals.benchmark import Benchmark, Sample
from pipelines.evals.benchmarks import absolute_name, load_benchmark
from pipelines.evals.scores import check_judge
from pipelines.evals.variants import build_requests, save_questions
from pipelines.requests.types import JobRequest
from pipelines.results.run_record import file_hashes
from videollm.errors import UserError
from videollm.io import is_remote

SETTINGS: Final = {"off": ("plain",), "on": ("subtitles",), "both": ("plain", "subtitles")}
"""Whether subtitles are shown -> names of the settings that get scores of their own."""


@dataclass(frozen=True, kw_only=True)
class EvalSpec:
    """Questions of an eval, and the way of asking."""

    benchmark: str
    """A name (videomme, mvbench, ...), a table of questions (.jsonl, .csv), or `path/to/file.py:Class`."""
    data: Path | None = None
    """Folder with the benchmark's official files; by default, of a table of questions, the table's folder."""
    split: str | None = None
    """Part of the benchmark; by default the first one."""
    subtitles: Literal["off", "on", "both"] = "off"
    """Show the model the subtitles of the sampled frames; `both` asks every question without and with subtitles."""
    circular: bool = False
    """Ask every rotation of the options too: a question is circularly right if every rotation is right."""
    prompt: Literal["benchmark", "model"] = "benchmark"
    """Wording: the benchmark's official one, or the one that the embedded models and VideoLLaMA2 know."""
    judge: str | None = None
    """For open-ended answers: a causal LM as judge (a folder, or org/name@revision)."""


@dataclass(frozen=True, kw_only=True)
class Eval:
    """An eval that can be run."""

    samples: tuple[Sample, ...]
    requests: tuple[JobRequest, ...]
    """Of all samples in all variants."""
    videos: tuple[str, ...]
    """Paths, each once."""
    missing: tuple[str, ...]
    """Missing videos; their questions count as wrong."""
    files: tuple[Path, ...]
    """Annotation files."""
    config: Mapping[str, Any]
    """What the answers depend on, besides model and frames."""

    def save_questions(self, output: Path) -> None:
        """Keep the questions beside the rows, for scoring."""
        save_questions(self.samples, output)


def resolve_eval(
    spec: EvalSpec, *, limit: int | None = None, limit_tokens: bool = True, searches: bool = False
) -> Eval:
    """Read a benchmark's questions and check whatever would otherwise show after the run, or never.

    Args:
        limit: number of questions to ask, the first ones; None: all.
        limit_tokens: cut answers after the benchmark's own number of tokens.
        searches: videos are searched by a strategy, which is told the questions apart from their options.
    Raises:
        UserError: there is no such benchmark, folder, split or judge; a question cannot be scored; an option does not
            suit the benchmark; or no video is there.
    """
    name = absolute_name(spec.benchmark)
    benchmark = load_benchmark(name)
    folder, split = _folder(spec, benchmark), spec.split or benchmark.splits[0]
    if split not in benchmark.splits:
        raise UserError(f"--split is {split!r}; {spec.benchmark} has {', '.join(benchmark.splits)}.")
    files = tuple(benchmark.files(folder, split))
    samples = checked(benchmark.samples(folder, split), files)[:limit]
    if spec.prompt == "model":  # its wording shows all options with letters
        samples = [replace(sample, lettered=True) for sample in samples]
    _check_samples(benchmark, samples)
    _check_options(spec, benchmark, samples)
    settings = SETTINGS[spec.subtitles]
    requests = build_requests(
        samples,
        benchmark,
        subtitles=[setting == "subtitles" for setting in settings],
        circular=spec.circular,
        own_prompt=spec.prompt == "benchmark",
        limit_tokens=limit_tokens,
        searches=searches,
    )
    if twice := [id for id, times in Counter(request.id for request in requests).items() if times > 1]:
        raise UserError(f"The id {twice[0]!r} is also that of a variant of another question. Rename one of them.")
    videos = tuple(dict.fromkeys(sample.clip.video for sample in samples))
    config = {
        "command": "eval",
        "benchmark": name,
        "data": str(folder),
        "split": split,
        "subtitles": list(settings),
        "circular": spec.circular,
        "prompt": spec.prompt,
        "annotations": {file.removeprefix(f"{folder}/"): digest for file, digest in file_hashes(files).items()},
    }
    return Eval(
        samples=tuple(samples),
        requests=tuple(requests),
        videos=videos,
        missing=_missing(videos, folder),
        files=files,
        config=config,
    )


def _folder(spec: EvalSpec, benchmark: Benchmark) -> Path:
    folder = spec.data or benchmark.folder
    if folder is None:
        raise UserError(f"{spec.benchmark} needs --data: the folder with its official annotation files and videos.")
    if not folder.is_dir():
        raise UserError(
            f"--data is {folder}, expected a folder with the annotation files and videos of {spec.benchmark}."
        )
    return folder.absolute()


def _check_samples(benchmark: Benchmark, samples: Sequence[Sample]) -> None:
    """Check for mistakes of a user's own benchmark that would only show in the scores."""
    for sample in samples:
        where = f"Question {sample.id!r}"
        if missing := [name for name in benchmark.groups if name not in sample.groups]:
            raise UserError(f"{where} has no group {missing[0]!r}, which its benchmark has a table of.")
        if benchmark.kind == "choice" or (benchmark.kind == "grounding" and sample.options):
            if not 1 <= len(sample.options) <= len(ascii_uppercase):
                raise UserError(f"{where} has {len(sample.options)} options, expected 1 to {len(ascii_uppercase)}.")
            if sample.answer not in (None, *range(len(sample.options))):
                raise UserError(f"{where} has answer {sample.answer!r}, expected the index of one of its options.")
        elif benchmark.kind == "grounding":
            if sample.answer is not None:
                raise UserError(f"{where} has answer {sample.answer!r} and no options, expected its evidence alone.")
        elif sample.answer is not None and not (sample.answer and isinstance(sample.answer, tuple)):
            raise UserError(f"{where} has answer {sample.answer!r}, expected a tuple of texts that are right.")


def _check_options(spec: EvalSpec, benchmark: Benchmark, samples: Sequence[Sample]) -> None:
    """Check that every option applies to some question."""
    if spec.subtitles != "off" and not any(sample.subtitles for sample in samples):
        raise UserError(f"--subtitles is {spec.subtitles}, but no question of {spec.benchmark} comes with subtitles.")
    if spec.circular and not any(sample.options and sample.lettered for sample in samples):
        raise UserError(f"--circular rotates lettered options, but no question of {spec.benchmark} shows any.")
    check_judge(benchmark, spec.judge)


def _missing(videos: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Return the missing videos.

    Raises:
        UserError: all videos are missing.
    """
    missing = tuple(video for video in videos if not is_remote(video) and not Path(video).exists())
    if len(missing) == len(videos):
        raise UserError(
            f"None of the {len(videos):,} videos is there, the first is {videos[0]}. Is --data {folder} right?"
        )
    return missing
