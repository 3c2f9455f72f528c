"""Standard errors clustered by video, and paired comparisons of two runs by bootstrap and exchange.

The questions of one video succeed and fail together, so the video is what was drawn at random, not the question (Miller
2024, "Adding Error Bars to Evals", arXiv 2411.00640). docs/statistics.md has the formulae.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.evals.statistics.significance import mcnemar, t_quantile
from videollm.errors import UserError

LEVEL: Final = 0.95
"""Confidence level of every interval."""
POWER: Final = 0.80
"""Probability of finding the smallest detectable difference."""
DRAWS: Final = 10_000
CELLS_AT_ONCE: Final = 2**20
"""Draws times clusters held in memory at one time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean and its uncertainty as an estimate over all videos like these."""

    mean: float
    standard_error: float | None
    """None where the error is unknown: a single cluster, or as many groups as questions."""
    low: float | None
    """95% interval; not below 0 where no value is, nor above 1 where all lie between 0 and 1."""
    high: float | None
    num: int
    num_clusters: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Difference of the second run from the first, on the same questions."""

    mean: float
    low: float | None
    """95% interval of the paired cluster bootstrap; None for a single cluster."""
    high: float | None
    standard_error: float | None
    num: int
    num_clusters: int
    gained: int
    """Questions on which the second run scores higher."""
    lost: int
    """Questions on which the second run scores lower."""
    mcnemar_p: float | None
    """McNemar's exact test, which takes all questions for independent; None where scores are not 0 or 1."""
    p: float
    """Two-sided; exact but for the draws: how often so large a difference comes about if whole videos change runs."""
    detectable: float | None
    """Smallest true difference that such a comparison finds with 80% power; None where no spread is known."""


def estimate(values: Sequence[float], clusters: Sequence[str], groups: Sequence[str] | None = None) -> Estimate:
    """Estimate a mean with its cluster-robust standard error and 95% interval.

    The variance is the sandwich CR1 with its small-sample factor G/(G-1) * (N-1)/(N-K) for G clusters, N questions and
    K groups; the interval that of Student's t with G-1 degrees of freedom, as the normal one is too short for few
    clusters (Cameron and Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference", J. Human Resources 50(2)).

    Args:
        values: score of each question.
        clusters: name of each question's video.
        groups: of each question; given, the mean is the macro mean: that of the groups' means, each with one weight.
    Raises:
        ValueError: no values, a value that is not finite, or lengths that differ.
    """
    table = _add_up(values, clusters, groups)
    error = _standard_error(table)
    margin = None if error is None else error * t_quantile((1 + LEVEL) / 2, len(table.counts) - 1)
    mean = _mean(table)
    low_end = 0.0 if min(values) >= 0 else -math.inf
    high_end = 1.0 if low_end == 0 and max(values) <= 1 else math.inf
    return Estimate(
        mean=mean,
        standard_error=error,
        low=None if margin is None else max(mean - margin, low_end),
        high=None if margin is None else min(mean + margin, high_end),
        num=len(values),
        num_clusters=len(table.counts),
    )


def difference(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Compare two runs on the same questions: b - a.

    Interval: percentiles of the paired bootstrap over clusters (Efron 1979; Efron and Tibshirani 1993, chapter 13).
    Each draw takes as many videos as there are, with replacement and with all their questions, and computes the (macro)
    mean anew, so that sizes of groups vary as they would; a group that a draw misses has no part in it.

    p: the randomization test that exchanges the two runs' scores on whole videos (sign flips; Fisher 1935). It holds
    for any number of videos, where p values of the bootstrap or of t claim too much as soon as a few videos agree by
    chance; with one question per video it is McNemar's exact test.

    The same seed gives the same figures, whatever the order of rows.

    Args:
        a: score of each question in the first run.
        b: in the second run, in the same order.
        clusters: name of each question's video.
        groups: as in `estimate`.
    Raises:
        ValueError: as in `estimate`, or draws below 1.
    """
    if len(a) != len(b):
        raise ValueError(f"Got {len(a)} and {len(b)} values, expected the same questions in both runs.")
    if draws < 1:
        raise UserError(f"draws is {draws}, expected 1 or more.")
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    table = _add_up(second - first, clusters, groups)
    rng = np.random.default_rng(seed)
    means = _bootstrap(table, draws, rng)
    alone = len(table.counts) == 1
    low, high = (None, None) if alone else map(float, np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    error = _standard_error(table)
    gained, lost = int((second > first).sum()), int((second < first).sum())
    is_binary = bool(np.isin([first, second], [0, 1]).all())
    return Difference(
        mean=_mean(table),
        low=low,
        high=high,
        standard_error=error,
        num=len(first),
        num_clusters=len(table.counts),
        gained=gained,
        lost=lost,
        mcnemar_p=mcnemar(gained, lost) if is_binary else None,
        p=_exchange(table, draws, rng),
        detectable=None if not error else error * (NormalDist().inv_cdf((1 + LEVEL) / 2) + NormalDist().inv_cdf(POWER)),
    )


class _Sums(NamedTuple):
    """Sums by cluster and group, sufficient for a (macro) mean and its spread; clusters in order of name."""

    sums: Floats
    """(clusters groups)"""
    counts: Floats
    """(clusters groups), numbers of questions."""


def _add_up(values: Sequence[float] | Floats, clusters: Sequence[str], groups: Sequence[str] | None) -> _Sums:
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise ValueError("Got no values, expected at least one question.")
    groups = [""] * len(numbers) if groups is None else groups
    if not len(numbers) == len(clusters) == len(groups):
        raise ValueError(
            f"Got {len(numbers)} values, {len(clusters)} clusters and {len(groups)} groups, expected one for each."
        )
    if not np.isfinite(numbers).all():
        where = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise ValueError(
            f"Value {where} is {numbers[where]}, expected a finite number: a question that failed counts as 0."
        )
    rows, num_rows = _number(clusters)
    columns, num_columns = _number(groups)
    # Always added up in one order, so that not even the last digit depends on the order of rows.
    order = np.lexsort([numbers, columns, rows])
    cells = (rows * num_columns + columns)[order]

    def by_cell(what: Floats) -> Floats:
        cell_sums: Floats = np.bincount(cells, what, minlength=num_rows * num_columns).astype(np.float64)
        return cell_sums.reshape(num_rows, num_columns)

    return _Sums(sums=by_cell(numbers[order]), counts=by_cell(np.ones(len(numbers))))


def _number(names: Sequence[str]) -> tuple[NDArray[Any], int]:
    """Return each name's place among the sorted names, and the number of distinct names."""
    places = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.asarray([places[name] for name in names]), len(places)


def _mean(table: _Sums) -> float:
    return float(np.mean(table.sums.sum(0) / table.counts.sum(0)))


def _standard_error(table: _Sums) -> float | None:
    """Return CR1 of the (macro) mean; None where the data say nothing of the spread."""
    num_clusters, num_groups = table.counts.shape
    num = table.counts.sum()
    if num_clusters == 1 or num == num_groups:
        return None
    # A cluster's residual is what its values add to the sum of their group beyond the group's mean, as a share of the
    # group; the macro mean takes the mean of these shares over groups. Squares of whole clusters, not of questions, are
    # added up, so that questions of one video may go wrong together.
    sizes = table.counts.sum(0)
    residuals = ((table.sums - table.counts * (table.sums.sum(0) / sizes)) / sizes).mean(1)
    factor = num_clusters / (num_clusters - 1) * (num - 1) / (num - num_groups)
    return math.sqrt(factor * float(residuals @ residuals))


def _bootstrap(table: _Sums, draws: int, rng: np.random.Generator) -> Floats:
    """Compute the (macro) means of clusters drawn with replacement.

    Returns:
        (draws,)
    """
    num_clusters = len(table.counts)
    means = []
    for size in _chunks(draws, num_clusters):
        # Each draw takes as many clusters as there are. Numbers of draw i are moved up by i * num_clusters, so that one
        # bincount over all of them counts how often each draw took each cluster: (size num_clusters). These are the
        # same multinomial counts as of rng.multinomial, which takes five times as long.
        drawn = rng.integers(num_clusters, size=(size, num_clusters)) + num_clusters * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * num_clusters).reshape(size, num_clusters)
        # Sums and numbers of questions of a draw, group by group, are then one matrix product: no question is copied.
        sums, counts = times @ table.sums, times @ table.counts
        # A group that a draw missed has no mean, and no part in the mean of means.
        by_group = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        means.append(by_group.sum(1) / (counts > 0).sum(1))
    return np.concatenate(means)


def _exchange(table: _Sums, draws: int, rng: np.random.Generator) -> float:
    """Compute the p value of the mean difference if the two runs were exchanged within clusters at random."""
    # If the runs do not differ, a cluster's part in the difference is as likely to have the other sign. So signs are
    # drawn, and draws counted whose difference is as large as the one observed. Clusters without a part cannot matter.
    parts = (table.sums / table.counts.sum(0)).mean(1)  # they add up to the mean
    parts = parts[parts != 0]
    if not len(parts):
        return 1.0
    reached = abs(parts.sum()) - 1e-9 * abs(parts).sum()  # ties count in spite of rounding
    hits = 0
    for size in _chunks(draws, len(parts)):
        signs = 2 * rng.integers(2, size=(size, len(parts)), dtype=np.int8) - 1
        hits += int((abs(signs @ parts) >= reached).sum())
    return (hits + 1) / (draws + 1)  # the observed difference is one of the exchanges, so that p is never 0


def _chunks(draws: int, width: int) -> list[int]:
    """Split the draws into chunks whose arrays fit into memory."""
    size = max(1, CELLS_AT_ONCE // width)
    return [min(size, draws - start) for start in range(0, draws, size)]
