"""Quantiles and exact tests, by scipy."""

from __future__ import annotations

from collections.abc import Sequence


def t_quantile(probability: float, degrees: int) -> float:
    """Return Student's t quantile of a probability from 0.5 on.

    Raises:
        ValueError: no degree of freedom, or a probability outside [0.5, 1).
    """
    from scipy.special import stdtrit  # scipy.stats would take a second longer to import

    if degrees < 1 or not 0.5 <= probability < 1:
        raise ValueError(f"Got {probability} and {degrees} degrees of freedom, expected 0.5 to 1 and at least 1.")
    return float(stdtrit(degrees, probability))


def mcnemar(gained: int, lost: int) -> float:
    """Compute the two-sided p of McNemar's exact, binomial test (1947): do changes go both ways equally often?"""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for multiple tests, in the order given (Holm 1979, "A Simple Sequentially Rejective Procedure").

    scipy has the false discovery rate only, which allows more false findings than Holm's family-wise error.

    Raises:
        ValueError: a value is not between 0 and 1.
    """
    if wrong := [p for p in p_values if not 0 <= p <= 1]:
        raise ValueError(f"Got p values {wrong}, expected each between 0 and 1.")
    adjusted, largest = [1.0] * len(p_values), 0.0
    # The smallest of n is multiplied by n, the next by n - 1, ...; none ends up below one that was smaller.
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = largest
    return adjusted
