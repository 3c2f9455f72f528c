"""From the rows of a run and its questions to scores: every question counts, whatever became of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pipelines.benchmarks import load_benchmark
from pipelines.benchmarks.base import Benchmark, Sample
from pipelines.errors import UserError
from pipelines.output import read_rows, write_json
from pipelines.questions import Variant, load, variants
from pipelines.rows import OK, Row
from pipelines.scoring.captions import caption_scores
from pipelines.scoring.choice import read_choice
from pipelines.scoring.open import exact_match, token_f1
from pipelines.scoring.statistics import Estimate, estimate

UNPARSED: Final = "unparsed"
MISSING: Final = "missing"
"""Status of a question whose answer is not there yet."""
SCORES: Final = "scores.json"
SCORED: Final = "scored.jsonl"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One question under one setting."""

    sample: Sample
    setting: str
    """`plain`, or `subtitles`."""
    row: Row | None
    """Its answer (options not rotated) as the run wrote it; None: it is not there."""
    status: str
    """`ok`, `unparsed`, `missing`, or the row's own status (`decode_error`, `timeout`, ...)."""
    reading: str | None = None
    """What the strict parser read: an option's letter; or the normalised text."""
    rule: str | None = None
    """Which rule of the parser fired, or why none did."""
    strict: Mapping[str, float] = field(default_factory=dict)
    """Metric -> value of this question, the headline first; {} where no right answer is published."""
    compat: Mapping[str, float] = field(default_factory=dict)
    """The same by the benchmark's official rule; {} where it has none."""

    @property
    def right(self) -> bool | None:
        """Whether the headline metric counts it as wholly right; None where nothing is published."""
        return next(iter(self.strict.values())) == 1.0 if self.strict else None


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure."""

    setting: str
    metric: str
    rule: str
    """`strict` or `compat`."""
    grouping: str | None
    """None: over all questions."""
    group: str | None
    all: Estimate
    """Over all questions: what has no answer is wrong."""
    answered: Estimate | None
    """Over those whose answer could be read."""


@dataclass(frozen=True, kw_only=True)
class ScoredRun:
    """A run with its scores."""

    folder: Path
    record: Mapping[str, Any]
    """What run.json holds."""
    benchmark: Benchmark
    items: tuple[Scored, ...]
    scores: tuple[Score, ...]

    @property
    def settings(self) -> list[str]:
        """Settings in the order they were asked."""
        return list(dict.fromkeys(i.setting for i in self.items))

    def of(self, setting: str) -> list[Scored]:
        """The questions under one setting."""
        return [i for i in self.items if i.setting == setting]

    def statuses(self, setting: str) -> Counter[str]:
        """Number of questions by status."""
        return Counter(i.status for i in self.of(setting))
