"""The estimators against textbook loops written on their own."""

import math
import random
import tracemalloc
from collections import defaultdict
from collections.abc import Sequence
from statistics import mean, quantiles, stdev

import numpy as np
import pytest

from pipelines.evals.statistics.bootstrap import difference, estimate
from pipelines.evals.statistics.significance import mcnemar, t_quantile


def uneven(seed: int) -> tuple[list[float], list[str], list[str]]:
    """Scores, videos of 1 to 6 questions, groups of different sizes that cut across videos."""
    rng = random.Random(seed)
    rows = [
        (round(rng.random(), 3), f"v{video}", rng.choice(["count", "count", "order", "where"]))
        for video in range(25)
        for _ in range(rng.randint(1, 6))
    ]
    rng.shuffle(rows)
    values, clusters, groups = zip(*rows, strict=True)
    return list(values), list(clusters), list(groups)


def macro_mean(rows: Sequence[tuple[float, str]]) -> float:
    by_group = defaultdict(list)
    for value, group in rows:
        by_group[group].append(value)
    return mean(mean(of_group) for of_group in by_group.values())


def sandwich(values: Sequence[float], clusters: Sequence[str], groups: Sequence[str]) -> float:
    """CR1 of the mean of coefficients in a regression on one dummy a group: c' (X'X)^-1 [sum_g X'ee'X] (X'X)^-1 c."""
    names = sorted(set(groups))
    x = np.array([[float(group == name) for name in names] for group in groups])
    y = np.array(values)
    bread = np.linalg.inv(x.T @ x)
    residual = y - x @ (bread @ x.T @ y)
    meat = np.zeros((len(names), len(names)))
    for cluster in set(clusters):
        inside = [i for i, c in enumerate(clusters) if c == cluster]
        score = sum(x[i] * residual[i] for i in inside)
        meat += np.outer(score, score)
    num, num_groups, num_clusters = len(y), len(names), len(set(clusters))
    covariance = bread @ meat @ bread * num_clusters / (num_clusters - 1) * (num - 1) / (num - num_groups)
    contrast = np.full(num_groups, 1 / num_groups)
    return math.sqrt(contrast @ covariance @ contrast)


def resampled(
    values: Sequence[float], clusters: Sequence[str], groups: Sequence[str], draws: int, seed: int
) -> list[float]:
    """Means of lists of videos drawn with replacement."""
    rng = random.Random(seed)
    questions = defaultdict(list)
    for value, cluster, group in zip(values, clusters, groups, strict=True):
        questions[cluster].append((value, group))
    names = list(questions)
    return [macro_mean([q for name in rng.choices(names, k=len(names)) for q in questions[name]]) for _ in range(draws)]


@pytest.mark.parametrize("seed", range(5))
def test_standard_error_is_the_sandwich(seed: int) -> None:
    values, clusters, groups = uneven(seed)
    num_clusters = len(set(clusters))
    for by in (None, groups):
        found = estimate(values, clusters, by)
        error = sandwich(values, clusters, by or [""] * len(values))
        assert found.mean == pytest.approx(macro_mean(list(zip(values, by or [""] * len(values), strict=True))))
        assert found.standard_error == pytest.approx(error)
        assert found.high is not None
        assert found.low is not None
        assert found.high - found.mean == pytest.approx(t_quantile(0.975, num_clusters - 1) * error)
        assert found.mean - found.low == pytest.approx(found.high - found.mean)
        assert (found.num, found.num_clusters) == (len(values), num_clusters)


def test_clusters_of_one_are_the_usual_standard_error() -> None:
    values = [0.0, 1.0, 1.0, 0.5, 0.25]
    found = estimate(values, list("abcde"))
    assert found.standard_error == pytest.approx(stdev(values) / math.sqrt(5))


@pytest.mark.parametrize("is_macro", [False, True])
def test_bootstrap_is_resampling_of_videos(is_macro: bool) -> None:
    """Two bootstraps of 10,000 draws: their percentiles differ by about 2% of the interval."""
    b, clusters, groups = uneven(3)
    rng = random.Random(0)
    a = [value * rng.choice([0, 1, 1]) for value in b]
    by = groups if is_macro else None
    found = difference(a, b, clusters, by)
    values = [y - x for x, y in zip(a, b, strict=True)]
    draws = resampled(values, clusters, by or [""] * len(values), 10_000, seed=1)
    cuts = quantiles(draws, n=40, method="inclusive")
    assert found.low is not None
    assert found.high is not None
    width = found.high - found.low
    assert found.low == pytest.approx(cuts[0], abs=0.04 * width)
    assert found.high == pytest.approx(cuts[-1], abs=0.04 * width)
    assert found.mean == pytest.approx(estimate(b, clusters, by).mean - estimate(a, clusters, by).mean)
    assert found.standard_error == pytest.approx(stdev(draws), rel=0.1)  # CR1 is a little larger, by its factor
    assert found.mcnemar_p is None


def test_a_group_that_a_draw_misses_has_no_part_in_it() -> None:
    """Half of all draws of two videos hold one of them twice: the mean is then that of its group alone."""
    found = difference([0.0, 0.0], [1.0, 0.0], ["a", "b"], ["x", "y"])
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("num_videos", [1, 2, 5, 9])
def test_p_is_that_of_all_exchanges(num_videos: int) -> None:
    rng = random.Random(num_videos)
    sums = [rng.randint(-3, 4) for _ in range(num_videos)]
    b = [float(s > 0) for s in sums for _ in range(abs(s))] or [0.0]
    a = [float(s < 0) for s in sums for _ in range(abs(s))] or [0.0]
    clusters = [f"v{i}" for i, s in enumerate(sums) for _ in range(abs(s))] or ["v0"]
    hits = sum(
        abs(sum(s if (signs >> i) & 1 else -s for i, s in enumerate(sums))) >= abs(sum(sums))
        for signs in range(2**num_videos)
    )
    assert difference(a, b, clusters, draws=40_000).p == pytest.approx(hits / 2**num_videos, abs=0.01)


def test_p_of_one_question_a_video_is_mcnemars() -> None:
    a = [1.0] * 30 + [0.0] * 40
    b = [1.0] * 24 + [0.0] * 6 + [1.0] * 15 + [0.0] * 25
    found = difference(a, b, [str(i) for i in range(70)], draws=40_000)
    assert (found.gained, found.lost) == (15, 6)
    assert found.mcnemar_p == mcnemar(15, 6)
    assert found.p == pytest.approx(mcnemar(15, 6), abs=0.006)  # 4 standard errors of 40,000 draws


def test_one_cluster_has_no_interval() -> None:
    for values in ([1.0], [1.0, 0.0, 1.0]):
        found = estimate(values, ["v"] * len(values))
        assert (found.mean, found.standard_error, found.low, found.high) == (mean(values), None, None, None)
        compared = difference([0.0] * len(values), values, ["v"] * len(values))
        assert (compared.low, compared.high, compared.standard_error, compared.detectable) == (None, None, None, None)
        assert compared.p == 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_alike(value: float) -> None:
    found = estimate([value] * 6, list("aabbcc"))
    assert (found.mean, found.standard_error, found.low, found.high) == (value, 0, value, value)


def test_identical_runs_do_not_differ() -> None:
    values, clusters, groups = uneven(0)
    for by in (None, groups):
        found = difference(values, values, clusters, by)
        assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
        assert (found.gained, found.lost, found.standard_error, found.detectable) == (0, 0, 0, None)


def test_all_changed_is_no_proof_with_few_videos() -> None:
    found = difference([0.0] * 3, [1.0] * 3, list("abc"))
    assert (found.mean, found.standard_error, found.gained, found.lost) == (1, 0, 3, 0)
    assert found.p == pytest.approx(0.25, abs=0.02)
    assert found.mcnemar_p == 0.25


def test_a_group_a_question_leaves_no_spread_to_know() -> None:
    assert estimate([0.0, 1.0], ["a", "b"], ["x", "y"]).standard_error is None


@pytest.mark.parametrize(
    ("values", "clusters", "groups", "error"),
    [
        ([], [], None, "no values"),
        ([1.0, math.nan], ["a", "b"], None, "Value 1 is nan"),
        ([math.inf, 0.0], ["a", "b"], None, "Value 0 is inf"),
        ([1.0, 0.0], ["a"], None, "2 values, 1 clusters"),
        ([1.0, 0.0], ["a", "b"], ["x"], "1 groups"),
    ],
)
def test_bad_input_is_said(values: list[float], clusters: list[str], groups: list[str] | None, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        estimate(values, clusters, groups)
    with pytest.raises(ValueError, match=error):
        difference([0.0] * len(values), values, clusters, groups)


def test_runs_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 values"):
        difference([1.0, 0.0], [1.0], ["a", "b"])
    with pytest.raises(ValueError, match="draws is 0"):
        difference([1.0], [1.0], ["a"], draws=0)


def test_figures_do_not_depend_on_the_order_of_rows() -> None:
    b, clusters, groups = uneven(7)
    a = b[::-1]
    rows = list(zip(a, b, clusters, groups, strict=True))
    seen = set[tuple[object, ...]]()
    for seed in range(4):
        random.Random(seed).shuffle(rows)
        x, y, videos, by = zip(*rows, strict=True)
        seen.add((difference(x, y, videos, by), estimate(y, videos, by), estimate(x, videos)))
    assert len(seen) == 1
    assert difference(a, b, clusters, seed=1) == difference(a, b, clusters, seed=1)
    assert difference(a, b, clusters, seed=1).low != difference(a, b, clusters, seed=2).low


def test_memory_does_not_grow_with_draws() -> None:
    """10,000 videos times 2,000 draws would be 160 MB at a time."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 20_000)).tolist()
    clusters = [f"v{i // 2}" for i in range(20_000)]
    tracemalloc.start()
    difference(a, b, clusters, draws=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6
