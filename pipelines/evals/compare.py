"""Comparison of two scored runs of one benchmark, question by question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.evals.benchmark import each
from pipelines.evals.scores import ScoredRun
from pipelines.evals.statistics.bootstrap import DRAWS, Difference, Estimate, difference, estimate
from pipelines.evals.statistics.significance import holm
from pipelines.evals.text_table import TextTable, hundredths, interval, p_value, signed_hundredths
from videollm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Point:
    """Score of one question in one run."""

    id: str
    cluster: str
    """The question's video."""
    groups: Mapping[str, str | tuple[str, ...]]
    """Name of a grouping (`duration`) -> the question's group (`short`), or all groups in which it counts."""
    value: float


@dataclass(frozen=True, kw_only=True)
class Group:
    """Comparison on the questions of one group."""

    value: str
    mean_a: float
    mean_b: float
    difference: Difference
    adjusted_p: float
    """By Holm's procedure over the groups of this grouping."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of run B with run A, over the questions that both have."""

    a: Estimate
    b: Estimate
    difference: Difference
    """B - A."""
    macro: str | None
    """Grouping whose groups weigh the same in `a`, `b` and `difference`; None: every question does."""
    groups: Mapping[str, tuple[Group, ...]]
    only_a: tuple[str, ...]
    """Ids of questions that only A has, which are in no figure."""
    only_b: tuple[str, ...]
    gained: tuple[str, ...]
    """Ids of questions on which B scores higher."""
    lost: tuple[str, ...]

    def tables(self) -> list[TextTable]:
        """Return tables of means, of changes, and one per grouping; scores and differences are multiplied by 100."""
        return [self._means(), self._changes(), *(_by_group(name, groups) for name, groups in self.groups.items())]

    def _means(self) -> TextTable:
        num, num_clusters = self.difference.num, self.difference.num_clusters
        macro = f", mean over {self.macro}" if self.macro else ""
        return TextTable(
            title=f"{num:,} questions of {num_clusters:,} videos that both runs have{macro}",
            columns=["", "score", "95% interval"],
            rows=[
                ["A", hundredths(self.a.mean), interval(self.a.low, self.a.high)],
                ["B", hundredths(self.b.mean), interval(self.b.low, self.b.high)],
                [
                    "B - A",
                    signed_hundredths(self.difference.mean),
                    interval(self.difference.low, self.difference.high, signed_hundredths),
                ],
            ],
        )

    def _changes(self) -> TextTable:
        found = self.difference
        return TextTable(
            title="What the difference is made of",
            columns=["", "figure"],
            rows=[
                ["p, by exchanging whole videos", p_value(found.p)],
                ["McNemar's p, questions taken for independent", p_value(found.mcnemar_p)],
                ["smallest difference found with 80% power", hundredths(found.detectable)],
                ["questions on which B scores higher", f"{found.gained:,}"],
                ["questions on which B scores lower", f"{found.lost:,}"],
                ["questions only in A, left out", f"{len(self.only_a):,}"],
                ["questions only in B, left out", f"{len(self.only_b):,}"],
            ],
        )


def compare_runs(
    a: ScoredRun, b: ScoredRun, *, metric: str | None = None, compat: bool = False, draws: int = DRAWS, seed: int = 0
) -> list[tuple[str, str, Comparison]]:
    """Compare two runs in every setting common to both.

    Args:
        metric: name of a score; None: the headline one of A.
        compat: take scores by the benchmark's official rule instead of the strict one.
    Returns:
        Setting, metric and comparison, each.
    Raises:
        UserError: the runs have no benchmark, setting, metric or question in common.
    """
    names = [run.record["config"]["benchmark"] for run in (a, b)]
    if Path(names[0]).name != Path(names[1]).name:
        raise UserError(f"A is of benchmark {names[0]}, B of {names[1]}. Compare runs of the same benchmark.")
    settings = [setting for setting in a.settings if setting in b.settings]
    if not settings:
        raise UserError(f"A asks {', '.join(a.settings)}, B asks {', '.join(b.settings)}: no setting in common.")
    metric = metric or next((score.metric for score in a.scores), None)
    made = []
    for setting in settings:
        points = [_points(run, setting, metric, "compat" if compat else "strict") for run in (a, b)]
        found = compare(*points, group_by=a.benchmark.groups, macro=a.benchmark.macro, draws=draws, seed=seed)
        made.append((setting, str(metric), found))
    return made


def _points(run: ScoredRun, setting: str, metric: str | None, rule: str) -> list[Point]:
    items = [item for item in run.items if item.setting == setting]
    metrics = list(dict.fromkeys(name for item in items for name in getattr(item.grade, rule)))
    if metric not in metrics:
        raise UserError(f"{run.folder} has no {rule} score {metric!r}; it has {', '.join(metrics) or 'none'}.")
    return [
        Point(id=i.sample.id, cluster=i.video, groups=i.sample.groups, value=getattr(i.grade, rule)[metric])
        for i in items
        if metric in getattr(i.grade, rule)
    ]


def compare(
    a: Sequence[Point],
    b: Sequence[Point],
    *,
    group_by: Sequence[str] = (),
    macro: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare run B with run A over their common questions.

    Args:
        group_by: groupings to compare within, group by group.
        macro: grouping over whose groups the overall score is the mean of means.
        draws: of the bootstrap and of the exchange test.
    Raises:
        UserError: no common question, an id twice in a run, a question with another video or other groups in the other
            run, or one without a group that is asked for.
    """
    first, second = _by_id(a, "A"), _by_id(b, "B")
    # Sorted by id, so that no figure and no list depends on the order of rows.
    common = sorted(first.keys() & second.keys())
    if not common:
        raise UserError(
            f"The runs have no question in common: A has {_some(first)}, B has {_some(second)}. "
            "Compare runs of the same benchmark."
        )
    for name in common:
        _check_same(first[name], second[name], {*group_by, *([macro] if macro else [])})

    def pair(ids: Sequence[str], groups: Sequence[str] | None) -> tuple[Estimate, Estimate, Difference]:
        clusters = [first[i].cluster for i in ids]
        values_a, values_b = [first[i].value for i in ids], [second[i].value for i in ids]
        return (
            estimate(values_a, clusters, groups),
            estimate(values_b, clusters, groups),
            difference(values_a, values_b, clusters, groups, draws=draws, seed=seed),
        )

    def by_group(grouping: str) -> tuple[Group, ...]:
        values = sorted({value for i in common for value in each(first[i].groups[grouping])})
        pairs = [pair([i for i in common if value in each(first[i].groups[grouping])], None) for value in values]
        adjusted = holm([found.p for _, _, found in pairs])
        return tuple(
            Group(value=value, mean_a=of_a.mean, mean_b=of_b.mean, difference=found, adjusted_p=p)
            for value, (of_a, of_b, found), p in zip(values, pairs, adjusted, strict=True)
        )

    of_a, of_b, found = pair(common, [str(first[i].groups[macro]) for i in common] if macro else None)
    return Comparison(
        a=of_a,
        b=of_b,
        difference=found,
        macro=macro,
        groups={name: by_group(name) for name in group_by},
        only_a=tuple(sorted(first.keys() - second.keys())),
        only_b=tuple(sorted(second.keys() - first.keys())),
        gained=tuple(i for i in common if second[i].value > first[i].value),
        lost=tuple(i for i in common if second[i].value < first[i].value),
    )


def _by_id(points: Sequence[Point], run: str) -> dict[str, Point]:
    twice = sorted(i for i, times in Counter(p.id for p in points).items() if times > 1)
    if twice:
        raise UserError(f"Run {run} has several scores of {_some(twice)}, expected one per question.")
    return {p.id: p for p in points}


def _check_same(a: Point, b: Point, groupings: set[str]) -> None:
    if a.cluster != b.cluster:
        raise UserError(f"Question {a.id!r} is on {a.cluster!r} in A and on {b.cluster!r} in B, expected one video.")
    for name in sorted(groupings):
        if name not in a.groups or name not in b.groups:
            both = sorted(a.groups.keys() & b.groups.keys())
            raise UserError(f"Question {a.id!r} has groups by {both} in both runs, expected one by {name!r}.")
        if a.groups[name] != b.groups[name]:
            raise UserError(
                f"Question {a.id!r} is {name} {a.groups[name]!r} in A and {b.groups[name]!r} in B, expected one. "
                "Compare runs on the same annotations."
            )


def _some(ids: Iterable[str]) -> str:
    """Name the first few ids."""
    names = sorted(ids)
    more = f" and {len(names) - 3:,} more" if names[3:] else ""
    return (", ".join(map(repr, names[:3])) or "none") + more


def _by_group(name: str, groups: Sequence[Group]) -> TextTable:
    many = f"; Holm p: corrected over {len(groups)} groups" if len(groups) > 1 else ""
    return TextTable(
        title=f"By {name}{many}",
        columns=[name, "questions", "videos", "A", "B", "B - A", "95% interval", "gained", "lost", "p", "Holm p"],
        rows=[
            [
                group.value,
                f"{found.num:,}",
                f"{found.num_clusters:,}",
                hundredths(group.mean_a),
                hundredths(group.mean_b),
                signed_hundredths(found.mean),
                interval(found.low, found.high, signed_hundredths),
                f"{found.gained:,}",
                f"{found.lost:,}",
                p_value(found.p),
                p_value(group.adjusted_p),
            ]
            for group in groups
            for found in [group.difference]
        ],
    )
