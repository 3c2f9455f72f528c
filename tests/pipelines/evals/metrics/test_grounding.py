"""Temporal grounding by values computed by hand, and by what must hold of any spans."""

from __future__ import annotations

import random

import pytest

from pipelines.evals.metrics.grounding import (
    Span,
    evidence_scores,
    iop,
    merge,
    moment_scores,
    time_error,
    tiou,
    union_iou,
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 10), (0, 10), 1),
        ((0, 10), (5, 15), 5 / 15),
        ((0, 10), (2, 4), 2 / 10),
        ((0, 10), (10, 20), 0),
        ((0, 10), (30, 40), 0),
    ],
)
def test_tiou_by_hand(a: Span, b: Span, expected: float) -> None:
    assert tiou(a, b) == tiou(b, a) == pytest.approx(expected)


def test_sets_of_spans_by_hand() -> None:
    assert merge([(5, 7), (0, 2), (1, 3)]) == [(0, 3), (5, 7)]
    assert union_iou([(0, 2), (1, 3), (5, 7)], [(2, 6)]) == pytest.approx(2 / 7)  # 1 + 1 s of the 7 s from 0 to 7
    assert iop([(0, 2), (1, 3), (5, 7)], [(2, 6)]) == pytest.approx(2 / 5)
    assert time_error((0, 4), (10, 12)) == 9


def test_moments_are_scored_by_the_first_prediction() -> None:
    found = moment_scores([(0, 10), (20, 30)], [(4, 10), (20, 30)])
    assert found == {"mIoU": pytest.approx(0.6), "R@0.3": 1, "R@0.5": 1, "R@0.7": 0, "IoP": pytest.approx(0.6)}
    assert set(moment_scores([], [(4, 10)]).values()) == {0}


def test_evidence_is_scored_by_the_best_prediction_for_each_true_span() -> None:
    found = evidence_scores([(0, 16), (32, 40)], [(2, 6), (32, 36), (100, 104)])
    assert found == {
        "evidence hit": pytest.approx(2 / 3),
        "evidence tIoU": pytest.approx((4 / 16 + 4 / 8 + 0) / 3),
        "evidence R@0.3": pytest.approx(1 / 3),
        "evidence R@0.5": pytest.approx(1 / 3),
        "evidence IoP": pytest.approx(8 / 24),
    }
    assert set(evidence_scores([], [(2, 6)]).values()) == {0}


def test_what_holds_of_any_spans() -> None:
    rng = random.Random(0)

    def spans() -> list[Span]:
        starts = [rng.uniform(0, 90) for _ in range(rng.randint(1, 6))]
        return [(start, start + rng.uniform(0.1, 30)) for start in starts]

    for _ in range(300):
        a, b, shift = spans(), spans(), rng.uniform(0, 50)
        score = union_iou(a, b)
        moved = [[(start + shift, end + shift) for start, end in of] for of in (a, b)]
        grid = [i / 10 + 0.05 for i in range(1500)]
        inside = [[any(s <= t < e for s, e in of) for t in grid] for of in (a, b)]
        both, either = (sum(map(rule, zip(*inside, strict=True))) for rule in (all, any))
        assert 0 <= score <= 1
        assert score == union_iou(b, a) == pytest.approx(union_iou(*moved))
        assert score == pytest.approx(both / either, abs=0.05)
        assert union_iou(a, a) == pytest.approx(1)
        assert score <= iop(a, b) + 1e-9
        found = moment_scores(a, b)
        assert found["R@0.3"] >= found["R@0.5"] >= found["R@0.7"]


@pytest.mark.parametrize("wrong", [(2, 2), (3, 2)])
def test_a_span_ends_after_it_starts(wrong: Span) -> None:
    with pytest.raises(ValueError, match="expected an end after the start"):
        tiou(wrong, (0, 1))
