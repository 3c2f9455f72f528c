"""What makes a question temporal: its clip's frames, as a set, fit other answers equally well."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from videollm.shapes.stories import STORIES, TEMPORAL, tell
from videollm.shapes.world import coverage, draw, draw_clip, patch_labels, times

REVERSED = {  # answers of the clip played backwards
    "direction": {"left": "right", "right": "left", "up": "down", "down": "up"},
    "pan": {"left": "right", "right": "left", "up": "down", "down": "up"},
    "comes": {"appear": "disappear", "disappear": "appear"},
    "grow": {"grow": "shrink", "shrink": "grow"},
    "before": {"yes": "no", "no": "yes"},
}


def test_at_least_ten_kinds_half_of_them_temporal() -> None:
    kinds = {q.kind for i in range(500) for q in tell(i).questions}
    assert len(kinds) >= 10
    assert set(TEMPORAL) <= kinds
    assert len(set(TEMPORAL)) * 2 >= len(kinds)


def test_same_seed_same_story() -> None:
    assert [tell(i) for i in range(20)] == [tell(i) for i in range(20)]
    assert len({tell(i).caption for i in range(200)}) > 150


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("num_frames", [4, 8, 16, 64])
def test_what_comes_and_goes_is_seen_equally_long(story: str, num_frames: int) -> None:
    for seed in range(30):
        world = tell(seed, story).world
        seen = Counter((t.name, c) for u in times(num_frames) for t, c, _ in coverage(world, u, 8)[1])
        partly = {k: n for k, n in seen.items() if n < num_frames}
        assert len(set(partly.values())) <= 1, partly


@pytest.mark.parametrize("story", ["motion", "pan", "grow"])
def test_what_moves_could_have_moved_backwards(story: str) -> None:
    """The mean of all frames is as symmetric in time as the frames: halves mirror each other about the middle."""
    for seed in range(20):
        world = tell(seed, story).world
        for scene in world:
            for thing in scene.things:
                for (a, b), pan in ((thing.x, scene.pan[0]), (thing.y, scene.pan[1])):
                    if story == "motion" and a != b:
                        assert a + b == pytest.approx(1)  # either end is as likely a start
                    assert abs(pan) in (0, 0.6)
                if thing.radius[0] != thing.radius[1]:
                    assert sorted(thing.radius) == [0.07, 0.18]


def test_reversed_answers_are_answers() -> None:
    for kind, flipped in REVERSED.items():
        asked = [q for i in range(2000) for q in tell(i).questions if q.kind == kind]
        assert {q.answer for q in asked} == set(flipped) == set(flipped.values())


def test_answers_are_balanced() -> None:
    """Always giving the most frequent answer scores no better than guessing, within four standard errors."""
    answers = defaultdict(Counter)
    choices = {}
    for seed in range(6000):
        for q in tell(f"balance/{seed}").questions:
            answers[q.kind][q.answer] += 1
            choices[q.kind] = q.choices
            assert q.answer in q.choices
    for kind, counts in answers.items():
        n, chance = sum(counts.values()), 1 / len(choices[kind])
        error = math.sqrt(chance * (1 - chance) / n)
        assert max(counts.values()) / n < chance + 4 * error, (kind, counts)


def test_frames_show_what_the_labels_say() -> None:
    world = tell(3, "still").world
    frame, labels = draw(world, 0.5, 48), patch_labels(world, 0.5, 48, 8)
    assert frame.shape == (48, 48, 3)
    assert labels.shape == (6, 6, 5)
    background = frame.reshape(6, 8, 6, 8, 3).mean((1, 3))[labels[..., 0] == 0]
    assert background.std(0).max() < 12  # patches labelled as empty look alike
    assert np.array_equal(draw_clip(world, times(4), 48)[0], draw(world, times(4)[0], 48))
