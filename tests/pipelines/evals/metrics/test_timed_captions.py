"""Captions of segments against known events, on examples worked out by hand."""

from __future__ import annotations

import pytest

from pipelines.evals.metrics.timed_captions import caption_scores, matched_in_order, names
from videollm.types import Cue

EVENTS = [
    Cue(start=0, end=4, text="red circle"),
    Cue(start=4, end=8, text="blue square"),
    Cue(start=8, end=12, text="blue square"),
    Cue(start=12, end=16, text="green cross"),
]


def test_captions_of_the_events_themselves() -> None:
    told = [Cue(start=e.start, end=e.end, text=f"A {e.text}.") for e in EVENTS]
    assert caption_scores(told, EVENTS) == {
        **{"named": 1.0, "F1@0.3": 1.0, "F1@0.5": 1.0, "F1@0.7": 1.0, "F1@0.9": 1.0},
        "repeats": 1 / 3,
    }


def test_captions_of_long_segments() -> None:
    told = [
        Cue(start=0, end=8, text="First a red circle, then a blue square."),  # tIoU 0.5 with each, one of which counts
        Cue(start=8, end=16, text="first a red circle, then a blue square"),  # names one of its two
    ]
    scores = caption_scores(told, EVENTS)
    assert scores == {
        **{"named": 3 / 4, "F1@0.3": 2 * 2 / 6, "F1@0.5": 2 * 2 / 6, "F1@0.7": 0.0, "F1@0.9": 0.0},
        "repeats": 1.0,
    }


def test_captions_that_overlap_and_say_nothing() -> None:
    told = [Cue(start=0, end=5, text="Red circle"), Cue(start=3, end=8, text="a blue square"), EVENTS[3]]
    scores = caption_scores(told, EVENTS)
    assert scores["named"] == 3 / 4
    assert (scores["F1@0.7"], scores["F1@0.9"]) == (2 * 3 / 7, 2 * 1 / 7)
    assert set(caption_scores([], EVENTS).values()) == {0.0}


@pytest.mark.parametrize(
    ("pairs", "most"),
    [([], 0), ([(0, 0), (0, 1), (0, 2)], 1), ([(0, 1), (1, 0)], 1), ([(0, 0), (1, 0), (1, 1), (2, 3), (3, 2)], 3)],
)
def test_matches_keep_the_order(pairs: list[tuple[int, int]], most: int) -> None:
    assert matched_in_order(pairs) == most


def test_names_are_whole_words() -> None:
    assert names("There is a red circle, on white.", "red circle")
    assert not names("A bored circle", "red circle")
    assert not names("a circle that is red", "red circle")
