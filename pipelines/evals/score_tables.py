"""Tables of a run's scores: the headline of each setting, statuses, and one table per grouping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipelines.evals.evidence import searched_for_evidence
from pipelines.evals.scores import Score, ScoredRun
from pipelines.evals.statistics.bootstrap import Estimate
from pipelines.evals.text_table import TextTable, hundredths, interval
from pipelines.results.schema import OK

COLUMNS: Final = ("questions", "videos", "strict", "s.e.", "95% interval", "of answered", "frames", "tokens", "compat")


def tables(run: ScoredRun) -> list[TextTable]:
    """Return all tables of a run; scores are multiplied by 100."""
    return [*([_headline(run)] if run.scores else []), _statuses(run), *_measures(run), *_groups(run)]


def figure_name(score: Score) -> str:
    """Return the name of a figure."""
    return score.metric + (f", mean over {score.macro}" if score.macro else "")


def _headline(run: ScoredRun) -> TextTable:
    overall = [s for s in run.scores if s.grouping is None]
    rows: list[Sequence[str | int]] = [
        [s.setting, figure_name(s), s.over_all.num, s.over_all.num_clusters, *_cells(s), _compat(s, overall)]
        for s in overall
        if s.rule == "strict"
    ]
    return TextTable(title="Scores", columns=["setting", "score", *COLUMNS], rows=rows)


def _statuses(run: ScoredRun) -> TextTable:
    found = {setting: run.statuses(setting) for setting in run.settings}
    statuses = sorted({s for counts in found.values() for s in counts}, key=lambda s: (s != OK, s))
    rows: list[Sequence[str | int]] = [
        [setting, status, counts[status], hundredths(counts[status] / counts.total())]
        for setting, counts in found.items()
        for status in statuses
    ]
    return TextTable(title="What became of the questions", columns=["setting", "status", "questions", "%"], rows=rows)


def _measures(run: ScoredRun) -> list[TextTable]:
    """Show what answers cost, and the benchmark's own measures, each a mean over the questions that have it."""
    rows: list[Sequence[str | int]] = [
        [m.setting, m.metric, m.over_all.num, m.over_all.num_clusters, _number(m.over_all.mean),
         interval(m.over_all.low, m.over_all.high, _number)]
        for m in run.measures
    ]  # fmt: skip
    columns = ["setting", "a question", "questions", "videos", "mean", "95% interval"]
    alone = run.benchmark.kind == "grounding" and not any(searched_for_evidence(i.row) for i in run.items)
    title = "Measures" + ("; no row holds evidence: scored on the answers alone" if alone else "")
    return [TextTable(title=title, columns=columns, rows=rows)] if rows else []


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _groups(run: ScoredRun) -> list[TextTable]:
    """Show the headline metric group by group."""
    metric = run.scores[0].metric if run.scores else None
    made = []
    for grouping in dict.fromkeys(s.grouping for s in run.scores if s.grouping is not None):
        of_grouping = [s for s in run.scores if s.grouping == grouping and s.metric == metric]
        rows: list[Sequence[str | int]] = [
            [s.setting, str(s.group), s.over_all.num, s.over_all.num_clusters, *_cells(s), _compat(s, of_grouping)]
            for s in of_grouping
            if s.rule == "strict"
        ]
        columns = ["setting", grouping, *COLUMNS]
        made.append(TextTable(title=f"{metric} by {grouping}", columns=columns, rows=rows))
    return made


def _cells(score: Score) -> list[str]:
    found, answered = score.over_all, score.over_answered
    return [hundredths(found.mean), hundredths(found.standard_error), interval(found.low, found.high), _mean(answered),
            _number(score.frames), _number(score.tokens)]  # fmt: skip


def _compat(score: Score, scores: Sequence[Score]) -> str:
    """Return the matching figure by the benchmark's own rule."""
    where = (score.setting, score.metric, score.macro, score.group)
    same = [s.over_all for s in scores if s.rule == "compat" and (s.setting, s.metric, s.macro, s.group) == where]
    return _mean(same[0] if same else None)


def _mean(found: Estimate | None) -> str:
    return hundredths(None if found is None else found.mean)
