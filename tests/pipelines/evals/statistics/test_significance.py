"""Quantiles and tests against tables, whole numbers, and the series they were computed by before scipy."""

import math
from fractions import Fraction
from statistics import NormalDist

import pytest

from pipelines.evals.statistics.significance import holm, mcnemar, t_quantile


@pytest.mark.parametrize(
    ("degrees", "expected"),  # R: qt(0.975, degrees), to 10 digits; 1 and 2 have closed forms
    [
        (1, math.tan(0.475 * math.pi)),
        (2, math.sqrt(2 * 0.95**2 / (1 - 0.95**2))),
        (3, 3.182446305),
        (4, 2.776445105),
        (9, 2.262157163),
        (30, 2.042272456),
        (100, 1.983971519),
    ],
)
def test_t_quantile_is_that_of_the_tables(degrees: int, expected: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(expected, rel=1e-9)


def test_t_quantile_tends_to_the_normal() -> None:
    assert t_quantile(0.975, 200_000) == pytest.approx(NormalDist().inv_cdf(0.975), abs=2e-5)
    for degrees in (1, 2, 5, 8, 50):
        assert t_quantile(0.9, degrees) > t_quantile(0.9, degrees + 1) > t_quantile(0.8, degrees + 1)
        assert t_quantile(0.5, degrees) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="0 degrees"):
        t_quantile(0.975, 0)


def within(quantile: float, degrees: int) -> float:
    """Probability of |T| below a quantile: the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle, odd = math.atan(quantile / math.sqrt(degrees)), degrees % 2
    term = total = 1.0 if degrees > 1 else 0.0
    for j in range(1, (degrees - odd) // 2):
        term *= (2 * j - 1 + odd) / (2 * j + odd) * math.cos(angle) ** 2
        total += term
    series = math.sin(angle) * math.cos(angle) ** odd * total
    return (angle + series) * 2 / math.pi if odd else series


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 59, 100, 899, 5000])
@pytest.mark.parametrize("probability", [0.6, 0.8, 0.9, 0.975, 0.995])
def test_t_quantile_is_that_of_the_series(degrees: int, probability: float) -> None:
    assert within(t_quantile(probability, degrees), degrees) == pytest.approx(2 * probability - 1, abs=1e-9)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (0, 5), (5, 5), (6, 15), (40, 90), (700, 800)])
def test_mcnemar_is_the_binomial_test(gained: int, lost: int) -> None:
    num = gained + lost
    tail = sum(math.comb(num, k) for k in range(num + 1) if k <= min(gained, lost))
    assert mcnemar(gained, lost) == pytest.approx(float(min(Fraction(1), Fraction(2 * tail, 2**num))), rel=1e-12)


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and never below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9, 0.6]) == [1.0, 1.0, 1.0]
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.5, wrong])
