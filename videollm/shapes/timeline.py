"""Timelines of long videos: lone shapes one after the other, each seen equally long, and what may be asked of them.

A needle is seen once; a second one, for order, once elsewhere; one colour a counted number of times; one colour never;
two colours fill the rest, one of them more often. The ground changes twice. All places are drawn on the frame grid,
after a lead of random length, so that no sampling grid meets the events by construction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from videollm.shapes.stories import BACKGROUND_WORDS, CELLS, COLOUR_WORDS
from videollm.shapes.world import SHAPES, Scene, Thing

MIN_SLOTS: Final = 14
MAX_COUNT: Final = 9
FREQUENT: Final = 0.62
"""Share of the more frequent filling colour among the two."""
GAP_SECONDS: Final = 40.0
"""Between events of the counted colour, where the video has the room: windows of up to half of it tell them apart."""


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Which colour plays which part."""

    needle: str
    second: str
    """Seen once as well, anywhere else."""
    counted: str
    absent: str
    frequent: str
    rare: str


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A still picture of a shape on its ground, or of the ground alone."""

    first_frame: int
    end_frame: int
    """Exclusive."""
    background: str
    thing: Thing | None = None

    @property
    def scene(self) -> Scene:
        """What the camera shows."""
        return Scene(background=self.background, things=() if self.thing is None else (self.thing,))


@dataclass(frozen=True, kw_only=True)
class LongVideo:
    """A long video as a list of segments without gaps."""

    fps: int
    segments: tuple[Segment, ...]
    cast: Cast

    @property
    def num_frames(self) -> int:
        """Frames of the video."""
        return self.segments[-1].end_frame

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.num_frames / self.fps

    def span(self, *segments: Segment) -> tuple[float, float]:
        """Return the seconds from the first to the last of these segments."""
        return segments[0].first_frame / self.fps, segments[-1].end_frame / self.fps

    def of_colour(self, colour: str) -> list[Segment]:
        """Return the segments that show a colour."""
        return [s for s in self.segments if s.thing is not None and s.thing.colour == colour]

    def chapters(self) -> list[tuple[Segment, Segment]]:
        """Return the first and the last segment of every stretch of one ground."""
        found: list[tuple[Segment, Segment]] = []
        for segment in self.segments:
            if found and found[-1][1].background == segment.background:
                found[-1] = (found[-1][0], segment)
            else:
                found.append((segment, segment))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Describe events and chapters, in seconds."""
        events = [
            {"start": start, "end": end, "colour": s.thing.colour, "shape": s.thing.shape, "name": s.thing.name,
             "background": s.background}
            for s in self.segments
            if s.thing is not None
            for start, end in [self.span(s)]
        ]  # fmt: skip
        chapters = [
            {"start": start, "end": end, "background": first.background}
            for first, last in self.chapters()
            for start, end in [self.span(first, last)]
        ]
        return {"seconds": self.seconds, "cast": vars(self.cast), "chapters": chapters, "events": events}


def long_video(rng: random.Random, *, num_frames: int, event_frames: int, fps: int, decile: int) -> LongVideo:
    """Draw a timeline at random.

    Args:
        event_frames: frames of every event; num_frames holds at least MIN_SLOTS + 1 times as many.
        decile: tenth of the video, from 0, in which the needle lies.
    """
    lead = rng.randrange(event_frames)
    num_slots = (num_frames - lead) // event_frames
    cast = Cast(**dict(zip(Cast.__dataclass_fields__, rng.sample(COLOUR_WORDS, 6), strict=True)))
    colours = _colours(rng, cast, num_slots, decile, _gap(num_frames, event_frames, fps))
    grounds = _grounds(rng, num_slots)
    things = [_thing(rng, colour) for colour in colours]
    ends = [lead + (i + 1) * event_frames for i in range(num_slots)]
    segments = [
        Segment(first_frame=end - event_frames, end_frame=end, background=ground, thing=thing)
        for end, ground, thing in zip(ends, grounds, things, strict=True)
    ]
    if lead:
        segments.insert(0, Segment(first_frame=0, end_frame=lead, background=grounds[0]))
    if ends[-1] < num_frames:
        segments.append(Segment(first_frame=ends[-1], end_frame=num_frames, background=grounds[-1]))
    return LongVideo(fps=fps, segments=tuple(segments), cast=cast)


def without_needle(video: LongVideo, rng: random.Random) -> LongVideo:
    """Put a shape of a filling colour in the place of the needle."""
    segments = [
        replace(s, thing=_thing(rng, rng.choice((video.cast.frequent, video.cast.rare))))
        if s.thing is not None and s.thing.colour == video.cast.needle
        else s
        for s in video.segments
    ]
    return replace(video, segments=tuple(segments))


def shuffled(video: LongVideo, rng: random.Random) -> LongVideo:
    """Show the same events in another order; lead and tail stay."""
    events = [s for s in video.segments if s.thing is not None]
    others = iter(rng.sample(events, len(events)))
    moved = [s if s.thing is None else _at(s, next(others)) for s in video.segments]
    return replace(video, segments=tuple(moved))


def _at(place: Segment, shown: Segment) -> Segment:
    return replace(place, thing=shown.thing, background=shown.background)


def _gap(num_frames: int, event_frames: int, fps: int) -> int:
    """Return the fewest slots between two events of the counted colour."""
    return max(1, int(min(GAP_SECONDS * fps, num_frames / MIN_SLOTS) / event_frames))


def _colours(rng: random.Random, cast: Cast, num_slots: int, decile: int, gap: int) -> list[str]:
    """Draw the colour of every slot."""
    needle = min(num_slots - 1, int(num_slots * (decile + rng.random()) / 10))
    # One slot lies between the needle and a counted event, on the side where there is room: what is between is asked.
    sides = [side for side in (needle - 2, needle + 2) if 0 <= side < num_slots]
    counted = [rng.choice(sides)]
    between = (needle + counted[0]) // 2
    free = [i for i in range(num_slots) if i not in (needle, between, counted[0])]
    second = rng.choice(free)
    wanted = rng.randint(1, min(MAX_COUNT, num_slots // 5))
    for slot in rng.sample(free, len(free)):
        if len(counted) < wanted and slot != second and all(abs(slot - other) > gap for other in counted):
            counted.append(slot)
    parts = {needle: cast.needle, second: cast.second} | dict.fromkeys(counted, cast.counted)
    num_rest = num_slots - len(parts)
    num_frequent = round(FREQUENT * num_rest)
    rest = [cast.frequent] * num_frequent + [cast.rare] * (num_rest - num_frequent)
    rng.shuffle(rest)
    return [parts[i] if i in parts else rest.pop() for i in range(num_slots)]


def _grounds(rng: random.Random, num_slots: int) -> Sequence[str]:
    """Draw the ground of every slot: three, one after the other."""
    first = int(num_slots * rng.uniform(0.15, 0.45))
    second = int(num_slots * rng.uniform(0.55, 0.85))
    lengths = (first, second - first, num_slots - second)
    grounds = rng.sample(BACKGROUND_WORDS, 3)
    return [ground for ground, length in zip(grounds, lengths, strict=True) for _ in range(length)]


def _thing(rng: random.Random, colour: str) -> Thing:
    _, column, row = rng.choice(CELLS)
    x, y = ((place + 0.5) / 3 + rng.uniform(-0.025, 0.025) for place in (column, row))
    radius = rng.uniform(0.14, 0.165)
    return Thing(shape=rng.choice(SHAPES), colour=colour, x=(x, x), y=(y, y), radius=(radius, radius))
