"""Strategies, with a viewer in the place of the model that sees an event in a frame and nowhere else."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.requests.types import job_request
from pipelines.timelines.questions import NO, YES, Question, read_question
from pipelines.timelines.strategies.base import STRATEGIES, Finding, Found, Look, Scope, load_strategy
from videollm.errors import UserError
from videollm.types import Clip, Request, Search

Event = tuple[float, float, str]
"""Start, end, and what is seen."""
STEMS = {
    "localized": "What shape is the orange one?",
    "exists": "Is anything orange?",
    "when": "When does the orange one appear?",
    "order": "Does the orange one appear before the purple one?",
    "count": "How many times does something orange appear?",
    "global": "Describe the whole video.",
}
PROBES = {"order": ("Is anything orange?", "Is anything purple?")}


def question(kind: str, **search: Any) -> Question:
    probes = PROBES.get(kind, ("Is anything orange?",))
    request = Request(
        id=kind, clip=Clip(video="film.mp4"), question=STEMS[kind],
        search=Search(stem=STEMS[kind], probes=probes, **search),
    )  # fmt: skip
    return read_question(job_request(request, "film.mp4"), knows_words=False)


def times(look: Look) -> list[float]:
    if look.seconds:
        return list(look.seconds)
    number = look.num_frames or 8
    return [look.start + (look.end - look.start) * (i + 0.5) / number for i in range(number)]


def finding(look: Look, events: Sequence[Event]) -> Finding:
    seen = {what for start, end, what in events for second in times(look) if start <= second < end}
    yes = any(look.ask == f"Is anything {what}?" for what in seen)
    scores = tuple(-0.1 if (text in YES) == yes else -6.0 for text in look.continuations if text in (*YES, *NO))
    if look.continuations == ("Yes",):
        return Finding(scores=(-1.0,), num_frames=8, num_visual_tokens=80, num_prompt_tokens=100)
    return Finding(scores=scores or (0.0,) * len(look.continuations), num_frames=len(times(look)))


def search(
    name: str, asked: Question, scope: Scope, events: Sequence[Event], **settings: Any
) -> tuple[Found, dict[Look, Finding]]:
    strategy, findings = load_strategy(name, settings), dict[Look, Finding]()
    for _ in range(50):
        step = strategy.step(asked, scope, findings)
        if isinstance(step, Found):
            return step, findings
        assert step, "no look and no end"
        assert not findings.keys() & set(step), "a look was asked for twice"
        findings |= {look: finding(look, events) for look in step}
    raise AssertionError("no end")


@pytest.mark.parametrize("kind", STEMS)
@pytest.mark.parametrize("name", STRATEGIES.names())
def test_searches_end_inside_the_video_and_depend_on_nothing_else(name: str, kind: str) -> None:
    rng = random.Random(f"{name}/{kind}")
    for length in (0.5, 16.0, 61.3, 600.0):
        events = [(at, at + 4.0, what) for what in ("orange", "purple") for at in [rng.uniform(10, 10 + length)]]
        scope = Scope(start=10.0, end=10.0 + length, context_tokens=2048, max_new_tokens=64)
        found, findings = search(name, question(kind), scope, events)
        looks = [*findings, *filter(None, [found.final])]
        for look in looks:
            assert scope.start <= look.start < look.end <= scope.end
            assert all(look.start <= second <= look.end for second in times(look))
        for part in found.evidence:
            assert scope.start <= part.start < part.end <= scope.end
            assert part.score > 0
        assert [e.score for e in found.evidence] == sorted(
            (e.score for e in found.evidence), reverse=True
        ) or kind == "order"
        assert (found.text is None) != (found.final is None)
        assert search(name, question(kind), scope, events) == (found, findings)
        # What is known in part, in any order, leads to the same end.
        some = dict(rng.sample(sorted(findings.items(), key=repr), len(findings) // 2))
        strategy = load_strategy(name, {})
        while not isinstance(step := strategy.step(question(kind), scope, some), Found):
            some |= {look: finding(look, events) for look in step}
        assert step == found


@pytest.mark.parametrize("name", ["mapreduce", "select", "auto", "tree"])
def test_a_needle_is_found_in_every_place(name: str) -> None:
    settings = {"look_seconds": 16.0, "look_frames": 8, **({"keep": 4} if name == "tree" else {})}
    for at in range(0, 525, 7):
        found, _ = search(name, question("localized"), Scope(start=0, end=600), [(at, at + 75, "orange")], **settings)
        assert found.final is not None
        assert any(at <= second < at + 75 for second in times(found.final))
        assert found.evidence[0].start < at + 75
        assert found.evidence[0].end > at


def test_mapreduce_sees_four_seconds_wherever_they_are() -> None:
    for at in range(0, 596, 3):
        found, findings = search("mapreduce", question("exists"), Scope(start=0, end=600), [(at, at + 4, "orange")])
        assert found.text == "Yes"
        assert found.evidence[0].start <= at + 4
        assert found.evidence[0].end >= at
        assert len(findings) == 38  # 37 windows of 16 s, and one that holds the rest
    found, _ = search("mapreduce", question("exists"), Scope(start=0, end=600), [])
    assert (found.text, found.evidence) == ("No", ())
    assert found.note == "No part of the video shows what the question asks for."


def test_times_are_narrower_than_a_window() -> None:
    for at in range(20, 590, 13):
        found, _ = search("mapreduce", question("when"), Scope(start=0, end=600), [(at, at + 4, "orange")])
        assert found.text is not None
        start, end = map(float, found.text.split(" - "))
        assert start <= at + 4
        assert end >= at
        assert end - start <= 8


@pytest.mark.parametrize(("first", "second", "answer"), [(40, 300, "Yes"), (300, 40, "No")])
def test_order_is_read_from_the_times(first: float, second: float, answer: str) -> None:
    events = [(first, first + 4, "orange"), (second, second + 4, "purple")]
    found, _ = search("mapreduce", question("order"), Scope(start=0, end=600), events)
    assert found.text == answer
    assert [e.start <= at + 4 and e.end >= at for e, at in zip(found.evidence, (first, second), strict=True)] == [
        True
    ] * 2
    within, _ = search(
        "mapreduce", question("order"), Scope(start=0, end=600), [(33, 36, "orange"), (38, 42, "purple")]
    )
    assert within.final == Look(start=32.0, end=48.0, num_frames=8)
    one, _ = search("mapreduce", question("order"), Scope(start=0, end=600), events[:1])
    assert one.note == "Only one of the two shows in the video."


def test_counts_merge_what_touches() -> None:
    events = [(at, at + 4, "orange") for at in (20, 100, 188, 400)]  # the third one lies across a border
    found, _ = search("mapreduce", question("count"), Scope(start=0, end=600), events)
    assert (found.text, found.note, len(found.evidence)) == ("4", None, 4)
    near, _ = search(
        "mapreduce", question("count"), Scope(start=0, end=600), [(at, at + 4, "orange") for at in (20, 36, 52)]
    )
    assert (near.text, near.note) == (
        "1",
        "Between 1 and 2: events nearer to each other than a window cannot be told apart.",
    )
    asked = question("count", options=("two", "three", "four"))
    assert search("mapreduce", asked, Scope(start=0, end=600), events)[0].text == "(C) four"


def test_a_tree_looks_less_and_misses_what_is_short() -> None:
    scope = Scope(start=0, end=36_000)
    long, looks = search("tree", question("exists"), scope, [(20_000, 21_000, "orange")])
    assert long.text == "Yes"
    assert len(looks) < 60
    short, _ = search("tree", question("exists"), scope, [(20_001, 20_005, "orange")])
    assert short.text == "No"


def test_dense_takes_as_many_frames_as_the_context_holds() -> None:
    scope = Scope(start=0, end=600, context_tokens=1000, max_new_tokens=80)
    found, _ = search("dense", question("global"), scope, [])
    # The look told 10 visual tokens a frame, and 20 of the question.
    assert found.final == Look(start=0, end=600, num_frames=90)
    # A text of 2 tokens beside each frame takes room too.
    strategy = load_strategy("dense", {})
    trials = strategy.plan(question("global"), scope)
    assert not isinstance(trials, Found)
    findings = {
        look: Finding(num_frames=n, num_visual_tokens=10 * n, num_prompt_tokens=20 + 12 * n)
        for look in trials
        if (n := look.num_frames)
    }
    labelled = strategy.step(question("global"), scope, findings)
    assert labelled == Found(final=Look(start=0, end=600, num_frames=75))
    unbounded, _ = search("dense", question("global"), Scope(start=0, end=100), [])
    assert unbounded.final == Look(start=0, end=100, num_frames=100)


def test_windows_that_agree_with_the_vote_answer() -> None:
    asked = question("localized", options=("circle", "square"))
    scope, strategy = Scope(start=0, end=64), load_strategy("mapreduce", {})
    findings: dict[Look, Finding] = {}
    margins = iter([3.0, 2.9, 2.8, -5.0])
    for look in strategy.plan(asked, scope):  # type: ignore[union-attr]
        margin = next(margins)
        findings[look] = Finding(scores=(margin, -math.inf, 0.0, -math.inf))
    votes = strategy.step(asked, scope, findings)
    assert isinstance(votes, list)
    assert [look.continuations for look in votes] == [("A", "B")] * 3
    findings |= dict(zip(votes, [Finding(scores=s) for s in ((0.0, -2.0), (-2.0, 0.0), (-2.0, 0.0))], strict=True))
    found = strategy.step(asked, scope, findings)
    assert isinstance(found, Found)
    assert found.final == Look(start=16.0, end=32.0, num_frames=8)


def test_looks_that_fail_do_not_end_a_search() -> None:
    asked, scope, strategy = question("exists"), Scope(start=0, end=64), load_strategy("mapreduce", {})
    looks = strategy.plan(asked, scope)
    assert isinstance(looks, list)
    findings = {look: Finding(error="decode_error: damaged") for look in looks}
    found = strategy.step(asked, scope, findings)
    assert isinstance(found, Found)
    assert (found.text, found.evidence) == ("No", ())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("How many times does the man jump?", "count"),
        ("When does she leave?", "when"),
        ("At what moment does the ball go in?", "when"),
        ("Does the dog bark before the door opens?", "order"),
        ("Which team scores first, the red or the blue one?", "order"),
        ("Is there a cat in the video?", "exists"),
        ("What is the video mainly about?", "global"),
        ("What does he put into the bowl?", "localized"),
        ("What colour is the car that passes?", "localized"),
    ],
)
def test_kinds_are_told_from_words(text: str, kind: str) -> None:
    asked = read_question(job_request(Request(id="q", clip=Clip(video="v"), question=text), "v"), knows_words=True)
    assert asked.kind == kind
    assert len(asked.probes) == (2 if kind == "order" else 1)


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="--look-seconds is 0"):
        load_strategy("mapreduce", {"look_seconds": 0})
    with pytest.raises(UserError, match="--fan is 1"):
        load_strategy("tree", {"fan": 1})
