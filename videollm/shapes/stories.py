"""Stories: worlds drawn at random, each with its caption and the questions it can answer.

A question is temporal when the set of its frames, without their order, does not answer it: what comes and goes is seen
equally long, what moves could as well have moved backwards, what changes shows both states equally often.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from videollm.shapes.world import BACKGROUNDS, COLOURS, SHAPES, Scene, Thing, World

CELLS: Final = (
    ("top left", 0, 0), ("top", 1, 0), ("top right", 2, 0),
    ("left", 0, 1), ("center", 1, 1), ("right", 2, 1),
    ("bottom left", 0, 2), ("bottom", 1, 2), ("bottom right", 2, 2),
)  # fmt: skip
NUMBERS: Final = ("one", "two", "three", "four")
WAYS: Final = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
COLOUR_WORDS: Final = tuple(COLOURS)
BACKGROUND_WORDS: Final = tuple(BACKGROUNDS)
CELL_WORDS: Final = tuple(c[0] for c in CELLS)
EDGE_WORDS: Final = tuple(w for w in CELL_WORDS if w != "center")
YES_NO: Final = ("yes", "no")

CAPTION_PROMPTS: Final = ("Describe the video.", "What happens in the video?", "Describe this video in one sentence.")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with its answer and what a guess would score."""

    kind: str
    text: str
    answer: str
    choices: tuple[str, ...]
    """Answers that the question alone leaves open, equally likely."""
    temporal: bool = False
    unordered: int = 1
    """Answers that the set of frames leaves open; above 1 for temporal questions."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """A world with its caption and questions."""

    world: World
    caption: str
    questions: tuple[Question, ...]


PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "count": ("How many shapes are there?", "How many shapes are in the video?"),
    "colour": ("What color is the {shape}?", "Which color is the {shape}?"),
    "shape": ("What shape is the {colour} one?", "Which shape is {colour}?"),
    "exists": ("Is anything {colour}?", "Does the video show anything {colour}?"),
    "where": ("Where is the {name}?", "Where is the {name} in the picture?"),
    "background": ("What color is the background?", "Which color is the background?"),
    "mover": ("Which color moves?", "What color is the moving shape?"),
    "first": ("Which color appears first?", "What color comes first?"),
    "last": ("Which color appears last?", "What color comes last?"),
    "before": ("Does {a} appear before {b}?", "Is {a} shown before {b}?"),
    "after": ("Which color comes right after {a}?", "What color appears right after {a}?"),
    "direction": ("Which way does the {name} move?", "In which direction does the {name} move?"),
    "end": ("Where is the {name} at the end?", "Where does the {name} end up?"),
    "start": ("Where is the {name} at the start?", "Where does the {name} begin?"),
    "becomes": ("What color does the {shape} turn into?", "What color is the {shape} at the end?"),
    "comes": ("Does the {name} appear or disappear?", "Does the {name} come or go, appear or disappear?"),
    "pan": ("Which way does the camera pan?", "In which direction does the camera move?"),
    "cut": ("What color is the background after the cut?", "Which background comes after the cut?"),
    "grow": ("Does the {name} grow or shrink?", "Is the {name} growing or shrinking, grow or shrink?"),
}
TEMPORAL: Final = (
    "first", "last", "before", "after", "direction", "end", "start", "becomes", "comes", "pan", "cut", "grow",
)  # fmt: skip


def _ask(
    rng: random.Random, kind: str, answer: str, choices: tuple[str, ...], unordered: int = 1, **words: str
) -> Question:
    text = rng.choice(PHRASES[kind]).format(**words)
    return Question(
        kind=kind, text=text, answer=answer, choices=choices, temporal=kind in TEMPORAL, unordered=unordered
    )


def _place(rng: random.Random, cell: int) -> tuple[tuple[float, float], tuple[float, float]]:
    _, cx, cy = CELLS[cell]
    x, y = ((c + 0.5) / 3 + rng.uniform(-0.025, 0.025) for c in (cx, cy))
    return (x, x), (y, y)


def _radius(rng: random.Random) -> tuple[float, float]:
    r = rng.uniform(0.14, 0.165)
    return r, r


def _things(rng: random.Random, number: int) -> list[Thing]:
    """Draw things of different colours in different cells."""
    things = []
    for colour, cell in zip(rng.sample(COLOUR_WORDS, number), rng.sample(range(9), number), strict=True):
        x, y = _place(rng, cell)
        things.append(Thing(shape=rng.choice(SHAPES), colour=colour, x=x, y=y, radius=_radius(rng)))
    return things


def _cell(thing: Thing, end: int = 0) -> str:
    return next(n for n, cx, cy in CELLS if (cx, cy) == (int(thing.x[end] * 3), int(thing.y[end] * 3)))


def _looks(rng: random.Random, things: list[Thing]) -> list[Question]:
    """Ask what things look like: one question of each kind."""
    one = rng.choice(things)
    colours = [t.colour for t in things]
    there = rng.random() < 0.5
    colour = rng.choice(colours) if there else rng.choice([c for c in COLOUR_WORDS if c not in colours])
    return [
        _ask(rng, "shape", one.shape, SHAPES, colour=one.colour),
        _ask(rng, "exists", "yes" if there else "no", YES_NO, colour=colour),
    ]


def _listing(things: list[Thing]) -> str:
    named = [f"a {t.name}" if t.colour != "orange" else f"an {t.name}" for t in things]
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + " and " + named[-1]


def drills(story: Story, rng: random.Random) -> list[tuple[str, str]]:
    """Ask for one property by another, word by word, in any order: questions to learn from, not to score.

    After the word `red` the next word is the shape of the red thing: one look at the video, where a question needs two.
    """
    things = [t for scene in story.world for t in scene.things]
    rng.shuffle(things)
    shapes = [t.shape for t in things]
    lone = [t for t in things if shapes.count(t.shape) == 1]
    made = [("List the shapes by color.", "; ".join(f"{t.colour} {t.shape}" for t in things))]
    if lone:
        made.append(("List the colors by shape.", "; ".join(f"{t.shape} {t.colour}" for t in lone)))
    if all(t.x[0] == t.x[1] and t.y[0] == t.y[1] for t in things) and not any(any(s.pan) for s in story.world):
        made.append(("List the places by shape.", "; ".join(f"{t.name} {_cell(t)}" for t in things)))
        made.append(("List the shapes by place.", "; ".join(f"{_cell(t)} {t.name}" for t in things)))
    return made


def _background(rng: random.Random) -> str:
    return rng.choice(BACKGROUND_WORDS)


def _alone(rng: random.Random) -> Story:
    (one,) = things = _things(rng, 1)
    background = _background(rng)
    return Story(
        world=(Scene(background=background, things=tuple(things)),),
        caption=f"There is {_listing(things)} on a {background} background.",
        questions=(
            _ask(rng, "colour", one.colour, COLOUR_WORDS, shape=rng.choice((one.shape, "shape"))),
            *_looks(rng, things),
            _ask(rng, "where", _cell(one), CELL_WORDS, name=rng.choice((one.name, "shape"))),
            _ask(rng, "background", background, BACKGROUND_WORDS),
        ),
    )


def _still(rng: random.Random) -> Story:
    things = _things(rng, rng.randint(1, 4))
    background = _background(rng)
    return Story(
        world=(Scene(background=background, things=tuple(things)),),
        caption=f"There is {_listing(sorted(things, key=lambda t: (t.y, t.x)))} on a {background} background.",
        questions=(
            _ask(rng, "count", NUMBERS[len(things) - 1], NUMBERS),
            *_looks(rng, things),
            _ask(rng, "background", background, BACKGROUND_WORDS),
        ),
    )


def _parade(rng: random.Random) -> Story:
    number = rng.choice((2, 4))
    things = [replace(t, visible=(i / number, (i + 1) / number)) for i, t in enumerate(_things(rng, number))]
    background = _background(rng)
    a, b = rng.sample(range(number), 2)
    if (a < b) != (rng.random() < 0.5):
        a, b = b, a
    followed = [i for i in range(3) if number == 4]  # of two colours, the one that is not named follows: no question
    named = [_listing([t]) for t in things]
    return Story(
        world=(Scene(background=background, things=tuple(things)),),
        caption=f"First {named[0]} appears, " + ", ".join(f"then {n}" for n in named[1:]) + ".",
        questions=(
            _ask(rng, "first", things[0].colour, COLOUR_WORDS, number),
            _ask(rng, "last", things[-1].colour, COLOUR_WORDS, number),
            _ask(rng, "before", "yes" if a < b else "no", YES_NO, 2, a=things[a].colour, b=things[b].colour),
            *(
                _ask(rng, "after", things[i + 1].colour, COLOUR_WORDS, 3, a=things[i].colour)
                for i in rng.sample(followed, min(1, len(followed)))
            ),
            *_looks(rng, things),
        ),
    )


def _motion(rng: random.Random) -> Story:
    way = rng.choice(tuple(WAYS))
    dx, dy = WAYS[way]
    lane_of_mover = rng.choice((0, 1, 1, 2))  # so that every cell but the center is as likely an end
    lanes = [lane_of_mover, *rng.sample([lane for lane in range(3) if lane != lane_of_mover], rng.randrange(3))]
    colours = rng.sample(COLOUR_WORDS, len(lanes))
    things = []
    for i, (lane, colour) in enumerate(zip(lanes, colours, strict=True)):
        still = rng.choice((1 / 6, 1 / 2, 5 / 6))
        along = (0.5 - (dx + dy) * 0.34, 0.5 + (dx + dy) * 0.34) if i == 0 else (still, still)
        across = ((lane + 0.5) / 3 + rng.uniform(-0.02, 0.02),) * 2
        x, y = (along, across) if dx else (across, along)
        things.append(Thing(shape=rng.choice(SHAPES), colour=colour, x=x, y=y, radius=_radius(rng)))
    mover = things[0]
    shown = rng.sample(things, len(things))
    rest = f" past {_listing(things[1:])}" if things[1:] else ""
    return Story(
        world=(Scene(background=_background(rng), things=tuple(shown)),),
        caption=f"{_listing([mover]).capitalize()} moves {way}{rest}.",
        questions=(
            _ask(rng, "direction", way, tuple(WAYS), 2, name=mover.name),
            _ask(rng, "start", _cell(mover, 0), EDGE_WORDS, 2, name=mover.name),
            _ask(rng, "end", _cell(mover, 1), EDGE_WORDS, 2, name=mover.name),
            _ask(rng, "mover", mover.colour, COLOUR_WORDS),
            *_looks(rng, things),
        ),
    )


def _change(rng: random.Random) -> Story:
    things = _things(rng, rng.randint(1, 2))
    other = rng.choice([c for c in COLOUR_WORDS if c not in [t.colour for t in things]])
    it = replace(things[0], turns=other)
    shapes = [s for s in SHAPES if s != it.shape]
    rest = [replace(t, shape=rng.choice(shapes)) for t in things[1:]]
    background = _background(rng)
    return Story(
        world=(Scene(background=background, things=(it, *rest)),),
        caption=f"{_listing([it]).capitalize()} turns {other} on a {background} background.",
        questions=(
            _ask(rng, "becomes", other, COLOUR_WORDS, 2, shape=it.shape),
            _ask(rng, "where", _cell(it), CELL_WORDS, name=it.name),
            _ask(rng, "background", background, BACKGROUND_WORDS),
            *([_ask(rng, "shape", rest[0].shape, SHAPES, colour=rest[0].colour)] if rest else []),
        ),
    )


def _come_and_go(rng: random.Random) -> Story:
    things = _things(rng, rng.randint(1, 3))
    appears = rng.random() < 0.5
    it = replace(things[0], visible=(0.5, 1.0) if appears else (0.0, 0.5))
    all_things = [it, *things[1:]]
    word = "appear" if appears else "disappear"
    rest = f" beside {_listing(things[1:])}" if things[1:] else ""
    return Story(
        world=(Scene(background=_background(rng), things=tuple(rng.sample(all_things, len(all_things)))),),
        caption=f"{_listing([it]).capitalize()} {word}s{rest}.",
        questions=(
            _ask(rng, "comes", word, ("appear", "disappear"), 2, name=it.name),
            _ask(rng, "where", _cell(it), CELL_WORDS, name=it.name),
            *_looks(rng, things),
        ),
    )


def _pan(rng: random.Random) -> Story:
    way = rng.choice(tuple(WAYS))
    dx, dy = WAYS[way]
    things = []
    for colour, lane in zip(rng.sample(COLOUR_WORDS, 3), rng.sample(range(3), 3), strict=True):
        along = 0.5 + (lane - 1) * 0.33 + (dx + dy) * 0.3 + rng.uniform(-0.03, 0.03)
        across = (rng.randrange(3) + 0.5) / 3
        x, y = (along, across) if dx else (across, along)
        things.append(Thing(shape=rng.choice(SHAPES), colour=colour, x=(x, x), y=(y, y), radius=_radius(rng)))
    background = _background(rng)
    return Story(
        world=(Scene(background=background, things=tuple(things), pan=(0.6 * dx, 0.6 * dy)),),
        caption=f"The camera pans {way} over three shapes on a {background} background.",
        questions=(
            _ask(rng, "pan", way, tuple(WAYS), 2),
            _ask(rng, "background", background, BACKGROUND_WORDS),
            *_looks(rng, things),
        ),
    )


def _cut(rng: random.Random) -> Story:
    before, after = rng.sample(BACKGROUND_WORDS, 2)
    things = _things(rng, rng.choice((2, 4)))
    half = len(things) // 2
    a, b = things[:half], things[half:]
    return Story(
        world=(
            Scene(background=before, things=tuple(a), span=(0.0, 0.5)),
            Scene(background=after, things=tuple(b), span=(0.5, 1.0)),
        ),
        caption=f"{_listing(a).capitalize()} on {before}, then a cut to {_listing(b)} on {after}.",
        questions=(
            _ask(rng, "cut", after, BACKGROUND_WORDS, 2),
            _ask(rng, "before", *(("yes", YES_NO, 2) if (swap := rng.random() < 0.5) else ("no", YES_NO, 2)),
                 a=(a if swap else b)[0].colour, b=(b if swap else a)[0].colour),
            *_looks(rng, things),
        ),
    )  # fmt: skip


def _grow(rng: random.Random) -> Story:
    things = _things(rng, rng.randint(1, 2))
    grows = rng.random() < 0.5
    sizes = (0.07, 0.18)
    it = replace(things[0], radius=sizes if grows else sizes[::-1])
    word = "grow" if grows else "shrink"
    background = _background(rng)
    return Story(
        world=(Scene(background=background, things=(it, *things[1:])),),
        caption=f"{_listing([it]).capitalize()} {word}s on a {background} background.",
        questions=(
            _ask(rng, "grow", word, ("grow", "shrink"), 2, name=it.name),
            _ask(rng, "where", _cell(it), CELL_WORDS, name=it.name),
            *_looks(rng, things),
        ),
    )


STORIES: Final[dict[str, Callable[[random.Random], Story]]] = {
    "alone": _alone,
    "still": _still,
    "parade": _parade,
    "motion": _motion,
    "change": _change,
    "come_and_go": _come_and_go,
    "pan": _pan,
    "cut": _cut,
    "grow": _grow,
}


def tell(seed: int | str, kind: str | None = None) -> Story:
    """Tell the story of a seed; the same seed tells the same story."""
    rng = random.Random(f"{seed}")
    return STORIES[kind or rng.choice(tuple(STORIES))](rng)
