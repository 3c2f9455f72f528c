"""`videollm compare-runs`: two evals of one benchmark, question by question."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from pipelines.evals.compare import compare_runs
from pipelines.evals.score_files import rules_warning
from pipelines.evals.scores import score_run
from pipelines.evals.settings import differing_settings
from pipelines.evals.text_table import TextTable


@dataclass(frozen=True, kw_only=True)
class CompareRunsOptions:
    """Compare two runs over the questions that both have: paired difference, 95% interval, what changed each way."""

    a: Positional[Path]
    """Output folder of `videollm eval`."""
    b: Positional[Path]
    """Another one, of the same benchmark."""
    metric: str | None = None
    """A score of these runs (accuracy, circular, exact, f1, ...); the headline one if not given."""
    compat: bool = False
    """Scores by the benchmark's official rule instead of the strict one."""
    draws: int = 10_000
    """Draws of the bootstrap."""
    seed: int = 0
    """Seed of the draws."""
    format: Literal["text", "markdown", "csv"] = "text"
    """How the tables are printed."""


def main(options: CompareRunsOptions) -> None:
    """Print the comparison."""
    a, b = score_run(options.a), score_run(options.b)
    found = compare_runs(a, b, metric=options.metric, compat=options.compat, draws=options.draws, seed=options.seed)
    differing = [[name, *("-" if v is None else v for v in of_runs)]
                 for name, of_runs in differing_settings([a.record, b.record])]  # fmt: skip
    title = "Settings that differ" if differing else "No settings differ"
    shown = [TextTable(title=title, columns=["", "A", "B"], rows=differing)]
    for setting, metric, comparison in found:
        shown += [replace(t, title=f"{setting}, {metric}: {t.title}") for t in comparison.tables()]
    for warning in filter(None, map(rules_warning, (a, b))):
        print(warning, file=sys.stderr)
    print(f"A is {options.a}\nB is {options.b}\n")
    for table in shown:
        print(getattr(table, options.format)(), end="\n\n")
