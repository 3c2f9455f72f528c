"""Temporal grounding: how well seconds that were answered, or taken as evidence, meet the true ones.

A span is a first second and a last one, exclusive. tIoU is the intersection over the union of two spans (Gao et al.,
TALL, ICCV 2017: R@1 at IoU 0.3, 0.5 and 0.7, and mIoU), IoP the share of the prediction that is true (Xiao et al.,
Can I Trust Your Answer?, CVPR 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Span = tuple[float, float]
THRESHOLDS: Final = (0.3, 0.5, 0.7)


def tiou(a: Span, b: Span) -> float:
    """Compute the intersection over the union of two spans, 0 to 1.

    Raises:
        ValueError: a span does not end after it starts.
    """
    return union_iou([a], [b])


def union_iou(a: Sequence[Span], b: Sequence[Span]) -> float:
    """Compute the intersection over the union of two sets of spans, where spans of a set may overlap; 0 to 1.

    Raises:
        ValueError: a span does not end after it starts.
    """
    merged_a, merged_b = merge(a), merge(b)
    shared = _shared(merged_a, merged_b)
    return shared / (_length(merged_a) + _length(merged_b) - shared) if merged_a and merged_b else 0.0


def iop(predicted: Sequence[Span], truth: Sequence[Span]) -> float:
    """Compute the share of the predicted seconds that are true; 0 without a prediction.

    Raises:
        ValueError: a span does not end after it starts.
    """
    merged = merge(predicted)
    return _shared(merged, merge(truth)) / _length(merged) if merged else 0.0


def time_error(predicted: Span, truth: Span) -> float:
    """Return the seconds between the middles of two spans."""
    return abs(sum(predicted) - sum(truth)) / 2


def best_tiou(predicted: Sequence[Span], truth: Sequence[Span]) -> list[float]:
    """Return of each true span its largest tIoU with a prediction, 0 without predictions."""
    return [max((tiou(span, true) for span in predicted), default=0.0) for true in truth]


def moment_scores(predicted: Sequence[Span], truth: Sequence[Span]) -> dict[str, float]:
    """Score the first of the predicted spans, as moment retrieval does: against the true span that it meets best.

    Returns:
        mIoU, R@0.3, R@0.5, R@0.7 and IoP of one question; all 0 without a prediction.
    """
    first = list(predicted[:1])
    overlap = max(best_tiou(first, truth))
    recalls = {f"R@{threshold}": float(overlap >= threshold) for threshold in THRESHOLDS}
    return {"mIoU": overlap, **recalls, "IoP": iop(first, truth)}


def evidence_scores(predicted: Sequence[Span], truth: Sequence[Span]) -> dict[str, float]:
    """Score all spans that were taken as evidence: each true span counts with the prediction that meets it best.

    Returns:
        Of one question, the share of true spans that a prediction touches (hit), the mean of their tIoU, the shares at
        tIoU 0.3 and 0.5, and IoP.
    """
    overlaps = best_tiou(predicted, truth)

    def share(threshold: float) -> float:
        return sum(overlap >= threshold for overlap in overlaps) / len(overlaps)

    return {
        "evidence hit": sum(overlap > 0 for overlap in overlaps) / len(overlaps),
        "evidence tIoU": sum(overlaps) / len(overlaps),
        "evidence R@0.3": share(0.3),
        "evidence R@0.5": share(0.5),
        "evidence IoP": iop(predicted, truth),
    }


def merge(spans: Sequence[Span]) -> list[Span]:
    """Return the same seconds as spans in order that do not meet.

    Raises:
        ValueError: a span does not end after it starts.
    """
    merged: list[Span] = []
    for start, end in sorted(spans):
        if not start < end:
            raise ValueError(f"A span is {start} to {end}, expected an end after the start.")
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _length(merged: Sequence[Span]) -> float:
    return sum(end - start for start, end in merged)


def _shared(a: Sequence[Span], b: Sequence[Span]) -> float:
    """Add up the seconds that two sets of merged spans share."""
    return sum(max(0.0, min(x[1], y[1]) - max(x[0], y[0])) for x in a for y in b)
