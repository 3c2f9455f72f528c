"""Tables of scores for a paper: Markdown to read, CSV with every figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pipelines.evals.report.runs import Run, run_names
from pipelines.evals.score_tables import tables
from pipelines.evals.scores import ScoredRun
from pipelines.evals.text_table import TextTable, hundredths

COLUMNS: Final = (
    *("run", "setting", "metric", "rule", "mean_over", "grouping", "group", "questions", "videos"),
    *("score", "standard_error", "low", "high"),
    *("answered_questions", "answered_score", "answered_low", "answered_high"),
)
"""Of the CSV."""


def markdown(runs: Sequence[Run]) -> str:
    """Write tables with the runs below each other; scores are multiplied by 100."""
    joined: dict[tuple[str, tuple[str, ...]], list[Sequence[str | int]]] = {}
    for run, name in zip(runs, run_names(runs), strict=True):
        for table in tables(run) if isinstance(run, ScoredRun) else [_statuses(run)]:
            rows = joined.setdefault((table.title, tuple(table.columns)), [])
            rows += [[name, *row] for row in table.rows]
    made = [TextTable(title=title, columns=["run", *columns], rows=rows) for (title, columns), rows in joined.items()]
    return "\n\n".join(table.markdown() for table in made) + "\n"


def csv(runs: Sequence[Run]) -> str:
    """Write one line per figure, unscaled (0.6134), and per share of a status."""
    rows: list[list[str | int]] = []
    for run, name in zip(runs, run_names(runs), strict=True):
        rows += [[name, *cells] for cells in _figures(run)]
    return TextTable(title="", columns=COLUMNS, rows=rows).csv()


def _statuses(run: Run) -> TextTable:
    counts = run.statuses("")
    rows = [(status, number, hundredths(number / counts.total())) for status, number in counts.most_common()]
    return TextTable(title="What became of the requests", columns=["status", "requests", "%"], rows=rows)


def _figures(run: Run) -> Iterator[list[str | int]]:
    for s in run.scores if isinstance(run, ScoredRun) else ():
        found, answered = s.over_all, s.over_answered
        of_answered = ["", "", "", ""]
        if answered is not None:
            of_answered = [str(answered.num), _text(answered.mean), _text(answered.low), _text(answered.high)]
        where = [s.setting, s.metric, s.rule, s.macro or "", s.grouping or "", s.group or ""]
        figures = [_text(value) for value in (found.mean, found.standard_error, found.low, found.high)]
        yield [*where, found.num, found.num_clusters, *figures, *of_answered]
    for setting in run.settings:
        counts = run.statuses(setting)
        for status, number in counts.most_common():
            share = _text(number / counts.total())
            yield [setting, "share of questions", "", "", "status", status, number, "", share, *[""] * 7]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
