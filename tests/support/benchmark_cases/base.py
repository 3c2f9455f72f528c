"""What a benchmark's miniature reads as, and what its files say when they are damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.evals.benchmark import Sample
from pipelines.evals.benchmarks import load_benchmark
from videollm.types import Clip

Place = tuple[str | int, ...]
"""Way to a value from the top of a file."""


@dataclass(frozen=True, kw_only=True)
class File:
    """An annotation file of a miniature, and ways to damage it; each makes an error that names the file."""

    path: str
    fields: Sequence[Place] = ()
    """Fields without which it cannot be read; of a table (.csv, .parquet) they are taken out of every row."""
    wrong: Sequence[tuple[Any, ...]] = ()
    """Place, value that it cannot have, and what the error says."""
    twice: Place | None = None
    """Row that may not be there twice."""
    empty: Any = None
    """What it holds when there are no questions; None: there is nothing of the kind."""
    other: Sequence[tuple[Any, ...]] = ()
    """JSON of another shape, and what the error says."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """What is expected of a benchmark's miniature."""

    samples: Mapping[str, Sequence[Sample]]
    """Split -> what is read, with paths from the folder on; the first split is the benchmark's first."""
    prompt: str
    """For the first sample."""
    rules: Sequence[tuple[int, str, bool]] = ()
    """Place of a sample in the first split, an output, and whether the official rule counts it as right."""
    files: Sequence[File] = ()

    @property
    def first(self) -> Sequence[Sample]:
        """Samples of the first split."""
        return next(iter(self.samples.values()))


def sample(
    id: str, video: str, question: str, options: tuple[str, ...], answer: Any, /, lettered: bool = True, **groups: Any
) -> Sample:
    return Sample(
        id=id,
        clip=Clip(video=video),
        question=question,
        options=options,
        lettered=lettered,
        answer=answer,
        groups=groups,
    )


def relative(sample: Sample, folder: Path) -> Sample:
    """The same with paths from the folder on."""
    clip = replace(sample.clip, video=Path(sample.clip.video).relative_to(folder).as_posix())
    return replace(sample, clip=clip, subtitles=sample.subtitles and sample.subtitles.relative_to(folder))


def read(name: str, folder: Path, split: str) -> list[Sample]:
    """Samples of a benchmark, with paths from the folder on."""
    return [relative(s, folder) for s in load_benchmark(name).samples(folder, split)]
