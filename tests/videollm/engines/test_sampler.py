from collections import Counter

import pytest
import torch

from videollm.engines.sampler import Sampler, uniform
from videollm.types import Generation


def draw(generation, logits, n, generated=()):
    keys = [str(i) for i in range(n)]
    return Counter(Sampler(generation)(logits.expand(n, -1), [list(generated)] * n, keys))


def test_samples_follow_the_probabilities():
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2])
    drawn = draw(Generation(temperature=1.0), probabilities.log(), 4000)
    for token, p in enumerate(probabilities.tolist()):
        assert drawn[token] / 4000 == pytest.approx(p, abs=0.03)
    assert 1 not in drawn


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 2}, {0, 2}),
        ({"top_k": 99}, {0, 1, 2, 3}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.75}, {0, 2}),
        ({"top_p": 1e-9}, {0}),
        ({"temperature": 0.01}, {0}),
        ({"temperature": 0.0}, {0}),
        ({"temperature": 0.0, "repetition_penalty": 9.0}, {2}),
    ],
)
def test_filters_keep_the_likeliest(settings, kept):
    logits = torch.tensor([0.52, 0.08, 0.3, 0.1]).log() + 5
    assert set(draw(Generation(**{"temperature": 1.0, **settings}), logits, 500, generated=(0,))) == kept


def test_uniform_depends_on_all_its_arguments():
    assert uniform(0, "a", 0) == uniform(0, "a", 0)
    numbers = [uniform(seed, key, step) for seed in range(3) for key in ("a", "\ud800", "/1") for step in range(3)]
    assert len(set(numbers)) == 27
    assert all(0 <= n < 1 for n in numbers)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"repetition_penalty": 0.0},
        {"stop": ("",)},
        {"max_new_tokens": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=rf"Generation\.{next(iter(settings))} is .* expected"):
        Sampler(Generation(**settings))
