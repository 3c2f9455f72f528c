"""Chapters and the tree of summaries: nothing is left out, and nothing is too much."""

from __future__ import annotations

import math
import random

import pytest

from pipelines.timelines.chapters import Node, branch, chapters, differences, tree
from pipelines.timelines.segments import tile
from videollm.errors import UserError
from videollm.video.cues import Cut
from videollm.video.surveys import Survey


def segments_of(lengths):
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return tile(ends, ["fixed"] * len(ends))


def check_tree(nodes: tuple[Node, ...], num_segments: int, most: int) -> None:
    suffixes = [node.suffix for node in nodes]
    assert len(set(suffixes)) == len(suffixes)
    assert [n for n in nodes if n.level == "segment"] == list(nodes[:num_segments])
    assert (nodes[-1].suffix, nodes[-1].level, nodes[-1].segments) == ("", "video", (0, num_segments - 1))
    parents: dict[int, int] = {}
    for place, node in enumerate(nodes):
        if node.children is None:
            assert node.level == "segment"
            continue
        first, last = node.children
        assert 1 <= last - first + 1 <= most
        assert last < place
        below = nodes[first : last + 1]
        assert [n.segments[0] for n in below[1:]] == [n.segments[1] + 1 for n in below[:-1]]
        assert node.segments == (below[0].segments[0], below[-1].segments[1])
        for child in range(first, last + 1):
            assert parents.setdefault(child, place) == place
    assert sorted(parents) == list(range(len(nodes) - 1))


@pytest.mark.parametrize("seed", range(60))
def test_every_row_has_one_parent_and_no_parent_too_many_children(seed: int) -> None:
    rng = random.Random(seed)
    segments = segments_of([rng.uniform(0.5, 90) for _ in range(rng.choice((1, 2, 5, 40, 700)))])
    unlike = [rng.choice((0.0, rng.random())) for _ in segments[1:]]
    made = chapters(segments, unlike, rng.choice((0.01, 0.5, 5, 1000)))
    assert [i for first, last in made for i in range(first, last + 1)] == list(range(len(segments)))
    most = rng.choice((2, 3, 7, 150))
    for grouping in (made, ()):
        nodes = tree(len(segments), most, grouping)
        check_tree(nodes, len(segments), most)
        assert [n.segments for n in nodes if n.level == "chapter"] == list(grouping)


@pytest.mark.parametrize(("number", "most", "levels"), [(1200, 150, 2), (1200, 7, 4), (7, 7, 1), (8, 7, 2), (1, 7, 1)])
def test_as_few_levels_as_the_branch_allows(number: int, most: int, levels: int) -> None:
    nodes = tree(number, most)
    depth = 0
    at = nodes[-1]
    while at.children is not None:
        at, depth = nodes[at.children[0]], depth + 1
    assert depth == levels == max(1, math.ceil(math.log(number, most)))


def test_names_of_rows() -> None:
    nodes = tree(7, 2, ((0, 2), (3, 3), (4, 6)))
    assert [n.suffix for n in nodes if n.level != "segment"] == [
        *("/n1-000", "/n1-001", "/n1-002", "/n1-003"),
        *("/c000", "/c001", "/c002"),
        *("/n3-000", "/n3-001"),
        "",
    ]
    assert nodes[5].suffix == "/s00005"


def test_chapters_end_where_neighbours_are_least_alike() -> None:
    segments = segments_of([10.0] * 60)
    unlike = [0.1] * 59
    unlike[17], unlike[40] = 0.9, 0.8
    assert chapters(segments, unlike, 200 / 60)[:2] == ((0, 17), (18, 40))


def test_chapters_are_even_where_nothing_is_known() -> None:
    segments = segments_of([10.0] * 60)
    assert chapters(segments, [0.0] * 59, 100 / 60) == tuple((i, i + 9) for i in range(0, 60, 10))


@pytest.mark.parametrize("seed", range(30))
def test_chapters_are_about_as_long_as_asked(seed: int) -> None:
    rng = random.Random(seed)
    segments = segments_of([rng.uniform(1, 30) for _ in range(rng.randint(40, 300))])
    made = chapters(segments, [rng.random() for _ in segments[1:]], 2)
    lengths = [segments[last].end - segments[first].start for first, last in made]
    assert all(60 - 1e-6 <= length <= 180 + 1e-6 for length in lengths)


def test_a_segment_longer_than_chapters_is_one() -> None:
    assert chapters(segments_of([10.0, 500.0, 10.0, 10.0]), [0, 0, 0], 1)[0] == (0, 1)


def test_differences_are_those_of_cuts_or_of_features() -> None:
    segments = segments_of([10.0, 10.0, 10.0])
    survey = Survey(video="a", video_hash=None, duration=30, num_frames=9, fps=1, cuts=(Cut(20.0, 0.7),))
    assert differences(segments, survey) == (0.0, 0.7)
    assert differences(segments, survey, alike=(0.75, 1.0)) == (0.25, 0.0)


def test_the_branch_is_what_fits() -> None:
    assert branch(32768, prompt_tokens=200, max_new_tokens=256, caption_tokens=200) == 150
    assert branch(2048, prompt_tokens=200, max_new_tokens=256, caption_tokens=200) == 7
    with pytest.raises(UserError, match="no room for two captions of 200"):
        branch(512, prompt_tokens=100, max_new_tokens=256, caption_tokens=200)


@pytest.mark.parametrize(("number", "most"), [(0, 5), (5, 1)])
def test_trees_that_cannot_be(number: int, most: int) -> None:
    with pytest.raises(UserError, match="expected at least 1 and 2"):
        tree(number, most)


def test_chapters_of_no_length() -> None:
    with pytest.raises(UserError, match="--chapter-minutes is 0"):
        chapters(segments_of([1.0]), [], 0)
