"""Long videos: what the file shows, what is asked, and what the controls change."""

from __future__ import annotations

import json
import random
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipelines.cli.main import main
from videollm.errors import UserError
from videollm.shapes.long import LongConfig, num_files, write_long
from videollm.shapes.long_questions import KINDS, ask_long, ask_shuffled
from videollm.shapes.timeline import GAP_SECONDS, LongVideo, long_video, shuffled, without_needle
from videollm.shapes.world import COLOURS, draw


def made(seed: int, minutes: float = 10, decile: int = 4) -> LongVideo:
    return long_video(random.Random(seed), num_frames=round(minutes * 480), event_frames=32, fps=8, decile=decile)


@pytest.mark.parametrize("minutes", [1, 10, 60])
def test_timelines_are_whole_and_every_event_is_seen_equally_long(minutes: float) -> None:
    for seed in range(20):
        video = made(seed, minutes, seed % 10)
        assert video.segments[0].first_frame == 0
        assert video.num_frames == minutes * 480
        assert all(a.end_frame == b.first_frame for a, b in pairwise(video.segments))
        events = [s for s in video.segments if s.thing is not None]
        assert {s.end_frame - s.first_frame for s in events} == {32}
        assert all(s.end_frame - s.first_frame < 64 for s in video.segments if s.thing is None)
        assert len(video.chapters()) == len({s.background for s in video.segments}) == 3
        seen = Counter(s.thing.colour for s in events if s.thing is not None)
        cast = video.cast
        assert (seen[cast.needle], seen[cast.second], seen[cast.absent]) == (1, 1, 0)
        assert seen.most_common(1)[0][0] == cast.frequent
        assert 1 <= seen[cast.counted] <= 9
        starts = [s.first_frame / 8 for s in video.of_colour(cast.counted)]
        gap = min(GAP_SECONDS, minutes * 60 / 15)
        assert all(b - a - 4 >= gap - 4 for a, b in pairwise(starts))


def test_needles_have_a_random_phase_and_lie_in_every_tenth() -> None:
    """At (j + 1/2)/8 of the video eight sampled frames would meet them by construction."""
    videos = [made(seed, 10, seed % 10) for seed in range(400)]
    starts = [v.of_colour(v.cast.needle)[0].first_frame for v in videos]
    assert len({start % 32 for start in starts}) == 32
    assert all(abs(start * 10 / 4800 - seed % 10 - 0.5) < 0.6 for seed, start in enumerate(starts))
    sampled = [(j + 0.5) * 600 for j in range(8)]
    met = [any(s <= frame < s + 32 for frame in sampled) for s in starts]
    assert 0.02 < np.mean(met) < 0.10  # 8 x 4 s of 600 s


@pytest.mark.parametrize("decile", range(10))
def test_answers_follow_from_the_timeline(decile: int) -> None:
    for seed in range(10):
        video = made(seed, 1 + seed, decile)
        questions = ask_long(video, random.Random(seed))
        assert set(KINDS) == {q.kind for q in questions}
        names = {s.thing.colour: s.thing.shape for s in video.segments if s.thing is not None}
        for question in questions:
            assert question.answer in question.choices or question.kind == "when"
            assert all(0 <= start < end <= video.seconds for start, end in question.evidence)
            shown = [
                [s for s in video.segments if start <= s.first_frame / 8 < end] for start, end in question.evidence
            ]
            colours = [[s.thing.colour for s in of_span if s.thing is not None] for of_span in shown]
            if question.kind == "shape":
                assert question.answer == names[colours[0][0]]
            if question.kind in ("shape", "when"):
                assert colours == [[question.about[0]]]
            if question.kind == "exists":
                assert (question.answer == "yes") == (colours == [[question.about[0]]])
            if question.kind == "order":
                assert (question.answer == "yes") == (question.evidence[0] < question.evidence[1])
            if question.kind == "count":
                assert question.choices.index(question.answer) + 1 == len(question.evidence)
                assert colours == [[question.about[0]]] * len(colours)
            if question.kind == "between":
                assert colours == [[question.about[0], question.answer, question.about[1]]]
            if question.kind == "chapter":
                assert [s.background for s in shown[0]][-1] == question.answer


def test_answers_are_balanced() -> None:
    asked = [q for seed in range(300) for q in ask_long(made(seed, 2, seed % 10), random.Random(seed))]
    for kind, worst in (("order", 0.57), ("exists", 0.5), ("shape", 0.3), ("between", 0.25), ("gist", 0.25)):
        answers = Counter(q.answer for q in asked if q.kind == kind)
        assert answers.most_common(1)[0][1] / answers.total() <= worst, (kind, answers)


def test_shuffled_events_are_the_same_and_order_falls_to_a_guess() -> None:
    same = []
    for seed in range(200):
        video = made(seed, 2, seed % 10)
        other = shuffled(video, random.Random(seed))
        drawn = [Counter((s.thing, s.background) for s in v.segments) for v in (video, other)]
        assert drawn[0] == drawn[1]
        questions = ask_long(video, random.Random(seed))
        again = ask_shuffled(other, questions)
        assert [q.text for q in again] == [q.text for q in questions if q.kind != "chapter"]
        for question in again:
            if question.kind in ("shape", "when"):
                (needle,) = other.of_colour(question.about[0])
                assert question.evidence == (other.span(needle),)
            if question.kind == "when":
                assert question.answer == "{:.3f} - {:.3f}".format(*question.evidence[0])
            if question.kind == "order":
                same.append((question.answer == "yes") == (question.evidence[0] < question.evidence[1]))
    assert 0.4 < np.mean(same) < 0.6


def test_a_needle_is_removed_and_nothing_else() -> None:
    video = made(1)
    other = without_needle(video, random.Random(0))
    changed = [(a, b) for a, b in zip(video.segments, other.segments, strict=True) if a != b]
    assert [a.thing.colour for a, _ in changed if a.thing is not None] == [video.cast.needle]
    assert not other.of_colour(video.cast.needle)


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]


def test_files_show_their_timelines(tmp_path: Path) -> None:
    config = LongConfig(minutes=(0.25,), num_clips=1, seconds=0.75, fps=8)
    on = []
    assert write_long(tmp_path, config, on_video=on.append) == len(read(tmp_path))
    assert on == [1, 2, 3, 4] == list(range(1, num_files(config) + 1))
    timelines = json.loads((tmp_path / "timeline.json").read_text())
    assert {v["split"] for v in timelines.values()} == {"test", "removed", "shuffled", "blank"}
    for name, timeline in timelines.items():
        with av.open(str(tmp_path / name)) as container:
            frames = [(f.pts * f.time_base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
        assert [time for time, _ in frames] == [Fraction(i, 8) for i in range(120)]
        for event in timeline["events"]:
            seen = [frame for time, frame in frames if event["start"] <= time < event["end"]]
            assert len(seen) == 6
            for frame in seen:
                near = np.abs(frame.astype(int) - COLOURS[event["colour"]]).sum(-1) < 90
                assert near.mean() > 0.015
        if not timeline["events"]:
            assert max(np.ptp(frame) for _, frame in frames) < 4
    for row in read(tmp_path):
        assert row["split"] == timelines[row["video"]]["split"]
        assert row["position"] is None or 0 < row["position"] < 1


def test_a_still_picture_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counted(*of: Any) -> Any:
        drawn.append(of)
        return draw(*of)

    monkeypatch.setattr("videollm.shapes.long.draw", counted)
    write_long(tmp_path, LongConfig(minutes=(2,), num_clips=1, controls=()))
    assert len(drawn) <= 31  # 29 or 30 events, lead and tail


def test_same_seed_same_files_and_files_are_kept(tmp_path: Path) -> None:
    config = LongConfig(minutes=(0.25, 0.5), num_clips=2, seconds=0.75, controls=("removed",))
    for name in "ab":
        write_long(tmp_path / name, config)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 10
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").glob("*.mp4")}
    write_long(tmp_path / "a", config)
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_the_command_writes_long_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["make-clips", "-o", str(tmp_path), "--seconds", "0.75", "--num-clips", "1", "--controls", "removed"]
    main([*line, "--minutes", "0.25", "0.5"])
    assert "4 videos, controls included, and 24 questions" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*.mp4"))) == 4


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"minutes": ()}, "one length"),
        ({"minutes": (0.9,)}, "at least 1.00"),
        ({"minutes": (2, 2)}, "different"),
        ({"minutes": (2,), "size": 33}, "even size"),
        ({"minutes": (2,), "num_clips": 0}, "at least 1"),
        ({"minutes": (2,), "controls": ("upside-down",)}, "removed, shuffled, blank"),
    ],
)
def test_wrong_settings_say_what_is_expected(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        LongConfig(**wrong)


@pytest.mark.parametrize("wrong", [["--controls", "blank"], ["--minutes", "2", "--story", "cut"]])
def test_options_that_do_not_go_together(wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["make-clips", "-o", str(tmp_path / "out"), *wrong])
    assert not (tmp_path / "out").exists()
    assert "--minutes" in capsys.readouterr().err
