"""Questions on long videos with the seconds that show the answer, in the words that the embedded models know."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from videollm.shapes.stories import BACKGROUND_WORDS, COLOUR_WORDS, PHRASES, YES_NO
from videollm.shapes.timeline import MAX_COUNT, LongVideo, Segment
from videollm.shapes.world import SHAPES

NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")[:MAX_COUNT]
KINDS: Final = ("shape", "exists", "when", "order", "count", "between", "chapter", "gist")

Span = tuple[float, float]
"""First second and last one, exclusive."""


@dataclass(frozen=True, kw_only=True)
class LongQuestion:
    """A question on a long video."""

    kind: str
    text: str
    answer: str
    """One of the choices; of `when` the seconds, `12.0 - 16.0`."""
    choices: tuple[str, ...] = ()
    """Answers that the question alone leaves open; of `when` none."""
    evidence: tuple[Span, ...] = ()
    """Seconds without which it cannot be answered; none where the whole video is asked about, or nothing is there."""
    about: tuple[str, ...] = ()
    """Colours that it asks about."""


def ask_long(video: LongVideo, rng: random.Random) -> list[LongQuestion]:
    """Ask the questions of all kinds.

    Needle and second needle are asked about in the same ways, so that a video has two places; what exists and what does
    not are asked about equally often, and so are orders that hold and that do not.
    """
    cast = video.cast
    (needle,), (second,) = video.of_colour(cast.needle), video.of_colour(cast.second)
    return [
        *_needle(video, rng, needle),
        *_needle(video, rng, second),
        _exists(video, rng, rng.choice((needle, second))),
        _absent(rng, cast.absent),
        _order(video, rng, [needle, second]),
        _count(video),
        _between(video, needle),
        _chapter(video, rng),
        LongQuestion(kind="gist", text="What color is shown most?", answer=cast.frequent, choices=COLOUR_WORDS),
    ]


def ask_removed(video: LongVideo, rng: random.Random) -> list[LongQuestion]:
    """Ask after the needle of a video from which it was removed."""
    return [_absent(rng, video.cast.needle)]


def ask_shuffled(video: LongVideo, asked: Sequence[LongQuestion]) -> list[LongQuestion]:
    """Ask questions of a video again where its events come in another order.

    Evidence follows the events. What order decides keeps the answer of the video as it was, so that it falls to a
    guess; grounds change everywhere, so that what comes after one of them is not asked.
    """
    again = []
    for question in asked:
        spans = tuple(video.span(s) for colour in question.about for s in video.of_colour(colour))
        answer = _seconds(spans[0]) if question.kind == "when" else question.answer
        if question.kind == "between":
            spans = ()
        if question.kind != "chapter":
            again.append(LongQuestion(**{**vars(question), "answer": answer, "evidence": spans}))
    return again


def _needle(video: LongVideo, rng: random.Random, segment: Segment) -> list[LongQuestion]:
    thing, span = segment.thing, video.span(segment)
    assert thing is not None
    shape, when = rng.choice(PHRASES["shape"]).format(colour=thing.colour), f"When does the {thing.colour} one appear?"
    colours = (thing.colour,)
    return [
        LongQuestion(kind="shape", text=shape, answer=thing.shape, choices=SHAPES, evidence=(span,), about=colours),
        LongQuestion(kind="when", text=when, answer=_seconds(span), evidence=(span,), about=colours),
    ]


def _exists(video: LongVideo, rng: random.Random, segment: Segment) -> LongQuestion:
    assert segment.thing is not None
    colour = segment.thing.colour
    text = rng.choice(PHRASES["exists"]).format(colour=colour)
    return LongQuestion(
        kind="exists", text=text, answer="yes", choices=YES_NO, evidence=(video.span(segment),), about=(colour,)
    )


def _absent(rng: random.Random, colour: str) -> LongQuestion:
    text = rng.choice(PHRASES["exists"]).format(colour=colour)
    return LongQuestion(kind="exists", text=text, answer="no", choices=YES_NO, about=(colour,))


def _order(video: LongVideo, rng: random.Random, segments: list[Segment]) -> LongQuestion:
    a, b = rng.sample(segments, 2)
    assert a.thing is not None
    assert b.thing is not None
    colours = (a.thing.colour, b.thing.colour)
    return LongQuestion(
        kind="order",
        text=rng.choice(PHRASES["before"]).format(a=colours[0], b=colours[1]),
        answer="yes" if a.first_frame < b.first_frame else "no",
        choices=YES_NO,
        evidence=(video.span(a), video.span(b)),
        about=colours,
    )


def _count(video: LongVideo) -> LongQuestion:
    colour = video.cast.counted
    seen = video.of_colour(colour)
    return LongQuestion(
        kind="count",
        text=f"How many {colour} shapes are in the video?",
        answer=NUMBERS[len(seen) - 1],
        choices=NUMBERS,
        evidence=tuple(video.span(s) for s in seen),
        about=(colour,),
    )


def _between(video: LongVideo, needle: Segment) -> LongQuestion:
    """Ask what comes between the needle and the counted event two segments from it."""
    i, counted = video.segments.index(needle), video.cast.counted
    for a, middle, b in ((i, i + 1, i + 2), (i - 2, i - 1, i)):
        if a < 0 or b >= len(video.segments):
            continue
        three = [video.segments[at].thing for at in (a, middle, b)]
        if (colours := [t.colour for t in three if t is not None])[::2] in (
            [video.cast.needle, counted],
            [counted, video.cast.needle],
        ):
            break
    return LongQuestion(
        kind="between",
        text=f"Which color appears after {colours[0]} and before {colours[2]}?",
        answer=colours[1],
        choices=tuple(c for c in COLOUR_WORDS if c not in (colours[0], colours[2])),
        evidence=(video.span(video.segments[a], video.segments[b]),),
        about=(colours[0], colours[2]),
    )


def _chapter(video: LongVideo, rng: random.Random) -> LongQuestion:
    """Ask which ground follows another; the change and one event each side show it."""
    chapters = video.chapters()
    at = rng.randrange(len(chapters) - 1)
    (_, last), (first, _) = chapters[at], chapters[at + 1]
    return LongQuestion(
        kind="chapter",
        text=f"Which background comes right after the {last.background} background?",
        answer=first.background,
        choices=BACKGROUND_WORDS,
        evidence=(video.span(last, first),),
    )


def _seconds(span: Span) -> str:
    return f"{span[0]:.3f} - {span[1]:.3f}"
