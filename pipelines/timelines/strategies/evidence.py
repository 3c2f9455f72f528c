"""From scored windows to an answer: runs of windows that say yes, order and number from their times.

Order and numbers are computed, not asked: of a long video an LLM tells them little better than chance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

from pipelines.timelines.questions import Question, subjects
from pipelines.timelines.strategies.base import Evidence, Found, Look

NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
                  "twelve")  # fmt: skip
NOTHING: Final = "No part of the video shows what the question asks for."


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A window, and how much more likely yes is than no in it."""

    start: float
    end: float
    score: float


def runs(windows: Sequence[Scored]) -> list[list[Scored]]:
    """Group windows that say yes and touch one another, in the order of time."""
    found: list[list[Scored]] = []
    for window in sorted(windows, key=lambda w: w.start):
        if window.score <= 0:
            continue
        if found and window.start <= found[-1][-1].end:
            found[-1].append(window)
        else:
            found.append([window])
    return found


def evidence(windows: Sequence[Scored]) -> tuple[Evidence, ...]:
    """Return the runs of windows that say yes, each with its best score, the best first."""
    return tuple(sorted(map(_evidence, runs(windows)), key=lambda e: (-e.score, e.start)))


def _evidence(run: Sequence[Scored]) -> Evidence:
    return Evidence(start=run[0].start, end=run[-1].end, score=max(window.score for window in run))


def nearest_pair(one: Sequence[Scored], other: Sequence[Scored]) -> tuple[float, float, tuple[Evidence, ...]] | None:
    """Return the part of the video that holds two things where they show nearest to each other, and both of them.

    Returns:
        Its start and end, and the windows of the two; None where one of them does not show.
    """
    pairs = [(a, b) for of_one in runs(one) for a in of_one for of_other in runs(other) for b in of_other]
    if not pairs:
        return None
    a, b = min(pairs, key=lambda p: (max(p[0].end, p[1].end) - min(p[0].start, p[1].start), -p[0].score - p[1].score))
    parts = tuple(Evidence(start=w.start, end=w.end, score=w.score) for w in (a, b))
    return min(a.start, b.start), max(a.end, b.end), parts


def conclude_exists(question: Question, windows: Sequence[Scored]) -> Found:
    """Answer yes where a window says so."""
    found = evidence(windows)
    return Found(text=yes_or_no(question, bool(found)), evidence=found, note=None if found else NOTHING)


def conclude_count(question: Question, windows: Sequence[Scored]) -> Found:
    """Count the runs; one that is longer than two windows may hold several events, and the note says so."""
    merged, found = runs(windows), evidence(windows)
    low, high = len(merged), sum(max(1, len(run) - 1) for run in merged)
    note = NOTHING if not merged else None
    if high > low:
        note = f"Between {low} and {high}: events nearer to each other than a window cannot be told apart."
    return Found(text=number(question, low), evidence=found, note=note)


def conclude_when(question: Question, windows: Sequence[Scored]) -> Found:
    """Answer with the times of the best run."""
    found = evidence(windows)
    if not found:
        return Found(text="", evidence=(), note=NOTHING)
    return Found(text=f"{found[0].start:.1f} - {found[0].end:.1f}", evidence=found)


def conclude_order(question: Question, of_both: Sequence[Sequence[Scored]], look: Look | None) -> Found:
    """Compare when two things show first.

    Args:
        of_both: scored windows of each.
        look: asks the request itself inside the window that both begin in.
    """
    first, second = (runs(windows) for windows in of_both)
    found = tuple(_evidence(run) for of_one in (first, second) for run in of_one[:1])
    if not first or not second:
        missing = NOTHING if not first and not second else "Only one of the two shows in the video."
        return Found(final=look, evidence=found, note=missing)
    one, other = first[0][0].start, second[0][0].start
    if one == other:
        return Found(final=look, evidence=found, note="Both begin in the same window, in which the model was asked.")
    earlier = one < other
    names = subjects(question)
    if names is None or re.match(r"\s*(does|do|did|is|are|was|were)\b", question.stem, re.IGNORECASE):
        return Found(text=yes_or_no(question, earlier != question.is_reversed), evidence=found)
    return Found(text=option(question, names[0 if earlier != question.is_reversed else 1]), evidence=found)


def yes_or_no(question: Question, value: bool) -> str:
    """Write yes or no, as the option of that word where there are options."""
    return option(question, "Yes" if value else "No")


def number(question: Question, value: int) -> str:
    """Write a number, as the option that says it where there are options."""
    word = NUMBERS[value] if value < len(NUMBERS) else str(value)
    texts = [text.strip().lower().rstrip(".") for text in question.options]
    return option(question, word if word in texts else str(value))


def option(question: Question, text: str) -> str:
    """Return the option of a text with its letter; the text itself where it is none of them."""
    wanted = text.strip().lower().rstrip(".")
    for place, given in enumerate(question.options):
        if given.strip().lower().rstrip(".") == wanted:
            return f"({ascii_uppercase[place]}) {given}" if question.lettered else given
    return text
