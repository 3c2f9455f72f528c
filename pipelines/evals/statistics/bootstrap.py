"""How sure a score is: standard errors clustered by video, paired comparisons, corrections for many of them.

The questions of one video succeed and fail together, so the video is what was drawn at random, not the question (Miller
2024, "Adding Error Bars to Evals", arXiv 2411.00640). docs/statistics.md has the formulae.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL: Final = 0.95
"""Of every interval."""
POWER: Final = 0.80
"""With which the smallest detectable difference is found."""
DRAWS: Final = 10_000
CELLS_AT_ONCE: Final = 2**20
"""Draws times clusters held in memory at one time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean and how far it may be from that of all videos like these."""

    mean: float
    standard_error: float | None
    """None where it cannot be known: a single cluster, or as many groups as questions."""
    low: float | None
    """95% interval; not below 0 where no value is, nor above 1 where all lie between 0 and 1."""
    high: float | None
    num: int
    num_clusters: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of the second run from the first, on the same questions."""

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
    """Questions on which it scores lower."""
    mcnemar_p: float | None
    """McNemar's exact test, which takes all questions for independent; None where scores are not 0 or 1."""
    p: float
    """Two-sided; exact but for the draws: how often so large a difference comes about if whole videos change runs."""
    detectable: float | None
    """Smallest true difference that such a comparison finds with 80% power; None where no spread is known."""


def estimate(values: Sequence[float], clusters: Sequence[str], groups: Sequence[str] | None = None) -> Estimate:
    """Mean with its cluster-robust standard error and 95% interval.

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
    table = _tabulate(values, clusters, groups)
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
    chance; with one question a video it is McNemar's exact test.

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
        raise ValueError(f"draws is {draws}, expected 1 or more.")
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    table = _tabulate(second - first, clusters, groups)
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


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of McNemar's test (1947) in its exact, binomial form: are changes as likely one way as the other?"""
    num, term, tail = gained + lost, 1, 0
    for k in range(min(gained, lost) + 1):
        tail += term
        term = term * (num - k) // (k + 1)
    return min(1.0, tail / (1 << num) * 2)  # whole numbers up to the division: exact


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being many, in the order given (Holm 1979, "A Simple Sequentially Rejective Procedure").

    Raises:
        ValueError: a value is not between 0 and 1.
    """
    if wrong := [p for p in p_values if not 0 <= p <= 1]:
        raise ValueError(f"Got p values {wrong}, expected each between 0 and 1.")
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = largest
    return adjusted


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees: int) -> float:
    """Student's t quantile of a probability of at least 0.5, to about 12 digits.

    Bisects the finite series for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    if degrees < 1 or not 0.5 <= probability < 1:
        raise ValueError(f"Got {probability} and {degrees} degrees of freedom, expected 0.5 to 1 and at least 1.")
    odd = degrees % 2
    j = np.arange(1, (degrees - odd) // 2)
    factors = np.cumprod(np.concatenate([[1.0], (2 * j - 1 + odd) / (2 * j + odd)]))
    powers = 2 * np.arange(len(factors)) + odd

    def within(angle: float) -> float:
        """Probability of |T| below sqrt(degrees) * tan(angle)."""
        if degrees == 1:
            return 2 * angle / math.pi
        series = math.sin(angle) * float(np.sum(factors * math.cos(angle) ** powers))
        return (angle + series) * 2 / math.pi if odd else series

    low, high = 0.0, math.pi / 2
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 2 * probability - 1 else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


class _Table(NamedTuple):
    """What a (macro) mean and its spread need: values added up by cluster and group (clusters in order of name)."""

    sums: Floats
    """(clusters, groups)"""
    counts: Floats
    """(clusters, groups), questions."""


def _tabulate(values: Sequence[float] | Floats, clusters: Sequence[str], groups: Sequence[str] | None) -> _Table:
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
    # In one order of adding up, so that the last digit does not depend on the order of rows either.
    order = np.lexsort([numbers, columns, rows])
    cells = (rows * num_columns + columns)[order]

    def added_up(what: Floats) -> Floats:
        cell_sums: Floats = np.bincount(cells, what, minlength=num_rows * num_columns).astype(np.float64)
        return cell_sums.reshape(num_rows, num_columns)

    return _Table(sums=added_up(numbers[order]), counts=added_up(np.ones(len(numbers))))


def _number(names: Sequence[str]) -> tuple[NDArray[Any], int]:
    """Each name's place among the sorted ones, and how many there are."""
    places = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.asarray([places[name] for name in names]), len(places)


def _mean(table: _Table) -> float:
    return float(np.mean(table.sums.sum(0) / table.counts.sum(0)))


def _standard_error(table: _Table) -> float | None:
    num_clusters, num_groups = table.counts.shape
    num = table.counts.sum()
    if num_clusters == 1 or num == num_groups:
        return None
    sizes = table.counts.sum(0)
    residuals = ((table.sums - table.counts * (table.sums.sum(0) / sizes)) / sizes).mean(1)  # of each cluster
    factor = num_clusters / (num_clusters - 1) * (num - 1) / (num - num_groups)
    return math.sqrt(factor * float(residuals @ residuals))


def _bootstrap(table: _Table, draws: int, rng: np.random.Generator) -> Floats:
    """(draws,): means of clusters drawn with replacement."""
    num_clusters = len(table.counts)
    means = []
    for size in _chunks(draws, num_clusters):
        drawn = rng.integers(num_clusters, size=(size, num_clusters)) + num_clusters * np.arange(size)[:, None]
        # How often each cluster was drawn: the same law as multinomial(), which takes five times as long.
        times = np.bincount(drawn.ravel(), minlength=size * num_clusters).reshape(size, num_clusters)
        sums, counts = times @ table.sums, times @ table.counts
        by_group = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        means.append(by_group.sum(1) / (counts > 0).sum(1))
    return np.concatenate(means)


def _exchange(table: _Table, draws: int, rng: np.random.Generator) -> float:
    """P value of the mean under exchange of the two runs within clusters drawn at random."""
    parts = (table.sums / table.counts.sum(0)).mean(1)  # of each cluster; they add up to the mean
    parts = parts[parts != 0]
    if not len(parts):
        return 1.0
    reached = abs(parts.sum()) - 1e-9 * abs(parts).sum()  # ties count in spite of rounding
    hits = 0
    for size in _chunks(draws, len(parts)):
        signs = 2 * rng.integers(2, size=(size, len(parts)), dtype=np.int8) - 1
        hits += int((abs(signs @ parts) >= reached).sum())
    return (hits + 1) / (draws + 1)


def _chunks(draws: int, width: int) -> list[int]:
    size = max(1, CELLS_AT_ONCE // width)
    return [min(size, draws - start) for start in range(0, draws, size)]
