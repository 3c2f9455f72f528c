"""Captions of parts of a video against its known events: what is named, and when.

An event is named where its name, `red circle`, stands in a caption. Captions and events are matched in order, one to
one, as SODA does (Fujita et al., ECCV 2020), so that neither a caption nor an event counts twice.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from pipelines.evals.metrics.grounding import Span, tiou
from videollm.types import Cue

THRESHOLDS: Final = (0.3, 0.5, 0.7, 0.9)


def caption_scores(captions: Sequence[Cue], events: Sequence[Cue]) -> dict[str, float]:
    """Score the captions of a video.

    Args:
        captions: in order of their start; they may overlap, as windows do.
        events: what happens, by name; in order, apart, and at least one.
    Returns:
        0 to 1 each: `named`, the share of events that a caption names which covers their middle; `F1@0.3` to `F1@0.9`,
        of captions matched with events that they name at that tIoU or more; `repeats`, the share of captions that say
        what the one before said (0 of a single one).
    """
    # Both are in order, so events that a caption meets are neighbours, and none lies before the last caption's first.
    pairs: list[tuple[int, int, float]] = []
    first = 0
    for i, caption in enumerate(captions):
        while first < len(events) and events[first].end <= caption.start:
            first += 1
        for j in range(first, len(events)):
            if events[j].start >= caption.end:
                break
            if names(caption.text, events[j].text):
                pairs.append((i, j, tiou(_span(caption), _span(events[j]))))
    middles = [(event.start + event.end) / 2 for event in events]
    named = {j for i, j, _ in pairs if captions[i].start <= middles[j] < captions[i].end}
    scores = {"named": len(named) / len(events)}
    for threshold in THRESHOLDS:
        matched = matched_in_order([(i, j) for i, j, overlap in pairs if overlap >= threshold])
        scores[f"F1@{threshold}"] = 2 * matched / (len(captions) + len(events))
    said = [_plain(caption.text) for caption in captions]
    scores["repeats"] = sum(a == b for a, b in pairwise(said)) / max(1, len(said) - 1)
    return scores


def names(caption: str, event: str) -> bool:
    """Tell whether a caption names an event, in whole words."""
    return f" {_plain(event)} " in f" {_plain(caption)} "


def matched_in_order(pairs: Sequence[tuple[int, int]]) -> int:
    """Return the most pairs that can stand together: each number once, and both ascending."""
    # The longest ascending row of second numbers, where of one first number the larger ones come first, so that no two
    # of them follow each other.
    ends: list[int] = []
    for _, j in sorted(pairs, key=lambda pair: (pair[0], -pair[1])):
        at = bisect_left(ends, j)
        ends[at : at + 1] = [j]
    return len(ends)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _span(cue: Cue) -> Span:
    return cue.start, cue.end
