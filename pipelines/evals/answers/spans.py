"""Seconds in raw outputs, read as a person reads them: a start and an end, and nothing is guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pipelines.evals.answers.normalise import normalise, without_thinking

_UNIT: Final = r"\s*(?:seconds?|secs?\.?|s)?(?![\w:])(?!\s*(?:min|hour|hr|h\b|m\b|frame|%))"
_TIME: Final = rf"(?:(?P<{{0}}h>\d+):)?(?:(?P<{{0}}m>\d+):)?(?P<{{0}}s>\d+(?:\.\d+)?)(?!\.?\d){_UNIT}"
"""12, 12.5 s, 01:02, 1:02:03.5."""
_FIRST: Final = r"(?<![\w.:,-])(?<!-\s)"
_WORDS: Final = r"(?:(?:at|about|around|seconds?|the)\s+)*"
_A, _B = _TIME.format("a"), _TIME.format("b")
_FRAMES: Final = r"(?<!frame )(?<!frames )"
_SPANS: Final = (
    re.compile(
        rf"{_FIRST}{_FRAMES}{_A}\s*(?:-->|->|-|–|—|−|~|to|until|till|through)\s*{_WORDS}{_B}(?!\s*[-–,]\s*\d)",
        re.IGNORECASE,
    ),
    re.compile(rf"\bbetween\s+{_WORDS}{_A}\s*and\s+{_WORDS}{_B}", re.IGNORECASE),
    re.compile(rf"[\[(]\s*{_A}\s*[,;]\s*{_B}\s*[\])]", re.IGNORECASE),
    re.compile(rf"^{_A}\s*[,;]\s*{_B}\s*\.?$", re.IGNORECASE),
)
_SRT: Final = re.compile(r"(\d:\d\d),(\d{3})(?!\d)")
_LABELLED: Final = re.compile(
    r"\bstart(?:s|ing|ed)?\b\W{0,3}(?:times?|at|from|is|around|about|\W|second){0,4}?\W*" + _A
    + r"[^\d]{0,40}?\bend(?:s|ing|ed)?\b\W{0,3}(?:times?|at|is|around|about|\W|second){0,4}?\W*" + _B,
    re.IGNORECASE,
)  # fmt: skip
_NUMBER: Final = re.compile(r"(?<![\w.:])\d+(?::\d+)*(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class SpanReading:
    """The span that an output names."""

    span: tuple[float, float] | None
    """Seconds; None: none was read."""
    rule: str
    """Which rule fired, or why none did: `span`, `start and end`, `none`, `several`, `backwards`, `number`."""


def read_span(text: str) -> SpanReading:
    """Read the one span of seconds that an output names.

    Times are seconds (`12.3`), MM:SS or HH:MM:SS. An output that names two different spans, one that ends before it
    starts, or a time without an end, names none.
    """
    said = _SRT.sub(r"\1.\2", normalise(without_thinking(text) or ""))
    found = [(m, "span") for pattern in _SPANS for m in pattern.finditer(said)] or [
        (m, "start and end") for m in _LABELLED.finditer(said)
    ]
    spans = {(_seconds(m, "a"), _seconds(m, "b")): rule for m, rule in found}
    if not spans:
        return SpanReading(span=None, rule="number" if _NUMBER.search(said) else "none")
    if len(spans) > 1:
        return SpanReading(span=None, rule="several")
    ((span, rule),) = spans.items()
    if None in span:
        return SpanReading(span=None, rule="number")
    start, end = float(span[0] or 0.0), float(span[1] or 0.0)
    return SpanReading(span=(start, end), rule=rule) if start < end else SpanReading(span=None, rule="backwards")


def _seconds(found: re.Match[str], which: str) -> float | None:
    """Return a time in seconds; None where minutes or seconds are 60 or more beside a larger unit."""
    first, second, last = (found[which + unit] for unit in "hms")
    seconds = float(last)
    larger = [float(part) for part in (first, second) if part is not None]
    if any(part >= 60 for part in [seconds, *larger[1:]]) and larger:
        return None
    for power, part in enumerate(reversed(larger), 1):
        seconds += part * 60**power
    return seconds
