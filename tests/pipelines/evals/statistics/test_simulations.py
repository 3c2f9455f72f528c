"""The estimators against the truth in simulations."""

import math
from collections import Counter
from statistics import mean, stdev

import numpy as np

from pipelines.evals.statistics.bootstrap import Difference, difference, estimate


def clustered(seed: int, num_clusters: int, size: int, *, spread: float = 1.5) -> tuple[list[float], list[str]]:
    """0/1 scores, and the video of each; videos are easy or hard by a normal of this spread (in logits)."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-rng.normal(0, spread, num_clusters)))
    right = rng.random((num_clusters, size)) < chance[:, None]
    return right.astype(float).ravel().tolist(), [f"v{i}" for i in range(num_clusters) for _ in range(size)]


def test_intervals_cover_and_naive_ones_do_not() -> None:
    """Of 400 simulations 95% +- 3 standard errors (1.1% each) must hold the truth, 0.5 by symmetry."""
    num, covered, naive = 400, 0, 0
    for seed in range(num):
        values, clusters = clustered(seed, num_clusters=60, size=10)
        found = estimate(values, clusters)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
        error = stdev(values) / math.sqrt(len(values))
        naive += abs(found.mean - 0.5) <= 1.96 * error
    assert 0.917 * num <= covered <= 0.983 * num
    assert naive < 0.8 * num


def test_few_clusters_are_covered_by_t() -> None:
    """Normal scores in 5 equal clusters: t with 4 degrees is exact; 1.96 would cover 88%."""
    num, covered = 1000, 0
    rng = np.random.default_rng(0)
    for _ in range(num):
        values = (rng.normal(size=5)[:, None] + rng.normal(size=(5, 4))).ravel().tolist()
        found = estimate(values, [str(i // 4) for i in range(20)])
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert 0.929 * num <= covered <= 0.971 * num


def shuffled_runs(seed: int) -> Difference:
    """Two runs alike but for chance: each video's two sheets of answers are dealt to the runs at random."""
    one, clusters = clustered(seed, num_clusters=200, size=5)
    rng = np.random.default_rng(10_000 + seed)
    # A sheet of answers goes wrong as a whole, so that changes are clustered too.
    other = np.where(np.repeat(rng.random(200) < 0.3, 5), 1 - np.array(one), one)
    swap = np.repeat(rng.random(200) < 0.5, 5)
    return difference(
        np.where(swap, other, one).tolist(), np.where(swap, one, other).tolist(), clusters, draws=2000, seed=seed
    )


def test_shuffled_labels_show_no_difference() -> None:
    """About 95 of 100 seeds; 89 to 100 hold 99.5% of the binomial. McNemar, blind to videos, sees what is not there."""
    runs = [shuffled_runs(seed) for seed in range(100)]
    counts = Counter(
        quiet_p=sum(run.p > 0.05 for run in runs),
        quiet_interval=sum((run.low or 0) <= 0 <= (run.high or 0) for run in runs),
        quiet_mcnemar=sum((run.mcnemar_p or 0) > 0.05 for run in runs),
    )
    assert 89 <= counts["quiet_p"] <= 100
    assert 89 <= counts["quiet_interval"] <= 100
    assert counts["quiet_mcnemar"] < 85


def test_bootstrap_intervals_of_differences_cover() -> None:
    """The truth is 0.1: B is A where 10% of all questions, whole videos at a time, turn from wrong to right."""
    num, covered = 300, 0
    for seed in range(num):
        rng = np.random.default_rng(seed)
        better = np.repeat(rng.random(150) < 0.2, 4)
        a = (rng.random(600) < 0.5).astype(float)
        b = np.where(better, 1.0, a)
        found = difference(a.tolist(), b.tolist(), [str(i // 4) for i in range(600)], draws=1000, seed=seed)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.1 <= found.high
    assert 0.912 * num <= covered <= 0.988 * num


def video_mme(rng: np.random.Generator, gain: float) -> Difference:
    """2,700 questions, 3 a video: 15% of the answers change, more in some videos, with a net gain of so much."""
    changing = np.repeat(rng.beta(1, 1 / 0.15 - 1, 900), 3)
    changes = rng.random(2700) < changing
    up = rng.random(2700) < 0.5 + gain / (2 * 0.15)
    direction = np.where(rng.random(2700) < 0.5, up, np.repeat(up[::3], 3))  # half of them follow the video's first
    a = np.where(changes, ~direction, rng.random(2700) < 0.6).astype(float)
    b = np.where(changes, direction, a).astype(float)
    return difference(a.tolist(), b.tolist(), [f"v{i // 3}" for i in range(2700)], draws=1000)


def test_detectable_difference_is_found_in_80_percent() -> None:
    """72% to 88% of 200: 80% +- 2.8 standard errors. On Video-MME's size it is about two points."""
    rng = np.random.default_rng(5)
    detectable = mean(video_mme(rng, 0).detectable or 0 for _ in range(20))
    assert 0.018 < detectable < 0.03
    found = sum(video_mme(rng, detectable).p < 0.05 for _ in range(200))
    assert 0.72 * 200 <= found <= 0.88 * 200
