"""Splitters: whatever the video and its cuts are, the segments are the video."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from pipelines.timelines.segments import Segment, check_tiling, window
from pipelines.timelines.splitters import SPLITTERS, SplitOptions, split
from videollm.errors import UserError, VideoError
from videollm.video.cues import Cut
from videollm.video.surveys import Survey

OPTIONS = SplitOptions()


def survey_of(duration: float, *cuts: Cut | float) -> Survey:
    made = tuple(cut if isinstance(cut, Cut) else Cut(cut, 1.0) for cut in cuts)
    return Survey(video="a.mp4", video_hash=None, duration=duration, num_frames=9, fps=1, cues="pixels", cuts=made)


def ends(segments) -> list[float]:
    return [segment.end for segment in segments]


def drawn(seed: int) -> tuple[Survey, SplitOptions]:
    """A video of any length with cuts anywhere, also where no segment can begin, and any options."""
    rng = random.Random(seed)
    duration = rng.choice((1 / 30, 0.5, 29.99, 30.0, 30.01, rng.uniform(1, 500), 3600.0, 36000 / 1.001))
    cuts = [Cut(rng.uniform(0, duration), rng.choice((0.5, rng.random()))) for _ in range(rng.choice((0, 1, 5, 300)))]
    extra = [Cut(0.0, 0.9), Cut(duration, 0.9), Cut(duration + 1, 0.9)] if rng.random() < 0.3 else []
    length = rng.choice((duration / 300, 7.0 + duration / 500, 30.0, 1e6))
    low = rng.choice((duration / 300, 2.0, 30.0))
    options = SplitOptions(
        segment_seconds=length, overlap=length / 10, min_seconds=low, max_seconds=low * rng.uniform(2, 30)
    )
    return survey_of(duration, *sorted([*cuts, *extra], key=lambda cut: cut.seconds)), options


@pytest.mark.parametrize("seed", range(200))
def test_segments_are_the_video(seed: int) -> None:
    known, options = drawn(seed)
    rng = random.Random(seed)
    alike = [rng.uniform(-1, 1) for _ in SPLITTERS.load("scenes")(options).pieces(known)[1:]]
    given = []
    at = rng.choice((0.0, known.duration / 7))
    while at < known.duration * 0.9:
        given.append((at, at + known.duration * rng.uniform(0.1, 0.3)))
        at = given[-1][1] + rng.choice((0.0, known.duration / 9))
    given[-1] = (given[-1][0], min(given[-1][1], known.duration))
    for name in SPLITTERS.builtin:
        made = split(name, known, options, alike=alike, given=given)
        assert made[0].start == 0.0
        assert made[-1].end == known.duration
        assert all(a.end == b.start and a.start < a.end for a, b in pairwise(made))
        assert made == split(name, known, options, alike=alike, given=given)
        lengths = [segment.seconds for segment in made]
        if name == "fixed":
            assert len(made) == 1 or all(0.5 - 1e-9 <= s / options.segment_seconds < 1.5 for s in lengths)
            assert len(made) == 1 or known.duration > options.segment_seconds
        elif name in ("shots", "scenes"):
            assert max(lengths) <= options.max_seconds * (1 + 1e-6)
            assert min(lengths) >= min(options.min_seconds, known.duration) * (1 - 1e-6)
        else:
            inside = {s.start for s in made} | {s.end for s in made}
            assert all(any(abs(t - b) < 0.01 for b in inside) for pair in given for t in pair)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (1 / 30, [1 / 30]),
        (29.0, [29.0]),
        (30.0, [30.0]),
        (44.99, [44.99]),
        (45.0, [30.0, 45.0]),
        (60.01, [30.0, 60.01]),
        (90.01, [30.0, 60.0, 90.01]),
        (89.99, [30.0, 60.0, 89.99]),
    ],
)
def test_a_short_remainder_joins_the_last_segment(duration: float, expected: list[float]) -> None:
    made = split("fixed", survey_of(duration), OPTIONS)
    assert ends(made) == expected
    assert [segment.reason for segment in made] == ["fixed"] * (len(expected) - 1) + ["end"]


def test_a_short_shot_joins_the_neighbour_that_it_is_more_like() -> None:
    cuts = Cut(10.0, 0.9), Cut(11.0, 0.2), Cut(20.0, 0.1), Cut(21.0, 0.5)
    assert ends(split("shots", survey_of(30, *cuts), OPTIONS)) == [10.0, 21.0, 30]


def test_a_long_shot_is_cut_into_equal_parts() -> None:
    made = split("shots", survey_of(200, 10.0, 160.0), OPTIONS)
    assert ends(made) == [10.0, 60.0, 110.0, 160.0, 200]
    assert [segment.reason for segment in made] == ["cut", "longest", "longest", "cut", "end"]


def test_a_video_shorter_than_the_least_is_one_shot() -> None:
    assert split("shots", survey_of(1.5, 0.5, 1.0), OPTIONS) == (Segment(0.0, 1.5, "end"),)


def test_scenes_are_shots_that_are_alike() -> None:
    known = survey_of(50, 10.0, 20.0, 30.0, 40.0)
    made = split("scenes", known, OPTIONS, alike=[0.95, 0.2, 0.92, 0.1])
    assert ends(made) == [20.0, 40.0, 50]
    assert [segment.reason for segment in made] == ["scene", "scene", "end"]


def test_scenes_end_at_their_greatest_length_where_they_are_least_alike() -> None:
    made = split("scenes", survey_of(80, 20.0, 40.0, 60.0), OPTIONS, alike=[0.95, 0.99, 0.91])
    assert ends(made) == [60.0, 80]


def test_scenes_must_be_told_how_alike_shots_are() -> None:
    with pytest.raises(UserError, match="Got 0 cosines for 2 shots; expected 1"):
        split("scenes", survey_of(20, 10.0), OPTIONS)


def test_what_lies_between_given_segments_is_kept() -> None:
    made = split("given", survey_of(100.0), OPTIONS, given=[(5, 20), (20.001, 30), (50, 99.9995)])
    assert [(s.start, s.end, s.reason) for s in made] == [
        (0.0, 5, "gap"),
        (5, 20, "given"),
        (20, 30, "given"),
        (30, 50, "gap"),
        (50, 100.0, "given"),
    ]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ([], UserError, "no segment is given"),
        ([(0, 10), (9, 20)], UserError, "segments overlap: one ends at 10 s, the next begins at 9 s"),
        ([(5, 5)], UserError, "expected 0 <= start < end"),
        ([(-1, 5)], UserError, "expected 0 <= start < end"),
        ([(float("nan"), 5)], UserError, "expected 0 <= start < end"),
        ([(0, 101)], VideoError, "the video ends at 100.000 s"),
        ([(0, 50), (100, 100.05)], VideoError, "the video ends at 100.000 s"),
        ([(0, 100.05), (100.049, 100.06)], VideoError, "the video ends at 100.000 s"),
    ],
)
def test_given_segments_that_cannot_be(given, kind, message: str) -> None:
    with pytest.raises(kind, match=message):
        split("given", survey_of(100.0), OPTIONS, given=given)


def test_windows_reach_into_their_neighbours() -> None:
    made = split("fixed", survey_of(90.0), OPTIONS)
    assert [window(segment, 2.0, 90.0) for segment in made] == [(0.0, 31.0), (29.0, 61.0), (59.0, 90.0)]
    assert window(made[1], 0.0, 90.0) == (30.0, 60.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"segment_seconds": 0}, "--segment-seconds is 0"),
        ({"segment_seconds": float("nan")}, "--segment-seconds is nan"),
        ({"overlap": 30}, "--overlap is 30 with segments of 30 s"),
        ({"overlap": -1}, "--overlap is -1"),
        ({"min_seconds": 40}, "expected a maximum of at least twice the minimum"),
        ({"alike": 1.5}, "--alike is 1.5"),
    ],
)
def test_options_that_cannot_be(wrong, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SplitOptions(**wrong)


def test_a_splitter_from_outside_is_checked(tmp_path) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(
        "from pipelines.timelines.splitters import Splitter\nfrom pipelines.timelines.segments import Segment\n"
        "class Half(Splitter):\n    def split(self, survey, *, alike=(), given=()):\n"
        "        return (Segment(0.0, survey.duration / 2, 'half'),)\n"
    )
    with pytest.raises(UserError, match=r"made the segments 0-5 of a video of 10 s"):
        split(f"{file}:Half", survey_of(10), OPTIONS)


@pytest.mark.parametrize("bounds", [[], [(0, 4), (5, 10)], [(0, 6), (5, 10)], [(1, 10)], [(0, 9)], [(0, 0), (0, 10)]])
def test_what_does_not_tile(bounds) -> None:
    with pytest.raises(UserError, match="Mend its `split`"):
        check_tiling([Segment(a, b, "x") for a, b in bounds], 10, made_by="theirs")


def test_surveys_go_through_json() -> None:
    known = replace(survey_of(10, 2.0, 5.5), keyframes=(0.0, 2.0))
    assert Survey.from_dict(json.loads(json.dumps(known.to_dict()))) == known
