"""`videollm compare-runs`: two evals of one benchmark, question by question."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tyro.conf import Positional

from pipelines.evals.compare import Comparison, Point, compare
from pipelines.evals.scores import ScoredRun, score_run
from pipelines.evals.table import Table
from videollm.errors import UserError

OF_SESSION: Final = (
    "device",
    "dtype",
    "attention",
    "generation",
    "sampling",
    "frame_size",
    "versions",
    "python",
    "git",
)
"""Facts of a run that may explain another score, besides its configuration."""


@dataclass(frozen=True, kw_only=True)
class Job:
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
    format: Literal["text", "markdown", "csv"] = "text"
    """How the tables are printed."""


def main(job: Job) -> None:
    """Print the comparison."""
    runs = (score_run(job.a), score_run(job.b))
    shown = [differing_settings(*runs)]
    for setting, metric, comparison in comparisons(
        *runs, metric=job.metric, compat=job.compat, draws=job.draws, seed=job.seed
    ):
        for table in comparison.tables():
            title = f"{setting}, {metric}: {table.title}"
            shown.append(Table(title=title, columns=table.columns, rows=table.rows))
    print(f"A is {job.a}\nB is {job.b}\n")
    for table in shown:
        print(getattr(table, job.format)(), end="\n\n")


def comparisons(
    a: ScoredRun, b: ScoredRun, *, metric: str | None = None, compat: bool = False, draws: int = 10_000, seed: int = 0
) -> list[tuple[str, str, Comparison]]:
    """Setting, metric and comparison, for each setting that both runs have.

    Raises:
        UserError: the runs have no benchmark, setting or metric in common.
    """
    names = [run.record["config"]["benchmark"] for run in (a, b)]
    if Path(names[0]).name != Path(names[1]).name:
        raise UserError(f"A is of benchmark {names[0]}, B of {names[1]}. Compare runs of the same benchmark.")
    settings = [s for s in a.settings if s in b.settings]
    if not settings:
        raise UserError(f"A asks {', '.join(a.settings)}, B asks {', '.join(b.settings)}: no setting in common.")
    wanted = metric or next((s.metric for s in a.scores), None)
    made = []
    for setting in settings:
        points = [_points(run, setting, wanted, "compat" if compat else "strict") for run in (a, b)]
        made.append(
            (setting, str(wanted),
             compare(*points, group_by=a.benchmark.groups, macro=a.benchmark.macro, draws=draws, seed=seed))
        )  # fmt: skip
    return made


def _points(run: ScoredRun, setting: str, metric: str | None, rule: str) -> list[Point]:
    items = [i for i in run.items if i.setting == setting]
    metrics = list(dict.fromkeys(m for i in items for m in getattr(i.mark, rule)))
    if metric not in metrics:
        raise UserError(f"{run.folder} has no {rule} score {metric!r}; it has {', '.join(metrics) or 'none'}.")
    return [
        Point(id=i.sample.id, cluster=i.video, groups=i.sample.groups, value=getattr(i.mark, rule)[metric])
        for i in items
        if metric in getattr(i.mark, rule)
    ]


def differing_settings(a: ScoredRun, b: ScoredRun) -> Table:
    """What the two runs were told or ran with that is not the same."""
    of_a, of_b = settings_of(a.record), settings_of(b.record)
    rows = [
        [name, of_a.get(name, "-"), of_b.get(name, "-")]
        for name in dict.fromkeys([*of_a, *of_b])
        if of_a.get(name) != of_b.get(name)
    ]
    return Table(title="Settings that differ" if rows else "No settings differ", columns=["", "A", "B"], rows=rows)


def settings_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Settings that may explain another score: name, dotted where it lies deeper -> value."""
    facts = {name: value for name in OF_SESSION if (value := last_told(record, name)) is not None}
    return dict(flat({**record["config"], **facts}))


def last_told(record: Mapping[str, Any], name: str) -> Any:
    """A fact from the last session that has it: one that found nothing to do knows little; None if none has it."""
    return next((s[name] for s in reversed(record["sessions"]) if s.get(name) is not None), None)


def flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Values with their names, dotted where they lie deeper."""
    made = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            made += flat(inner, f"{prefix}{name}.")
        else:
            made.append((f"{prefix}{name}", inner if isinstance(inner, str) else json.dumps(inner)))
    return made
