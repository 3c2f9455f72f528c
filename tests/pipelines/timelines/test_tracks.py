"""Tracks: every format says what the rows say, at their times, whatever the captions hold."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from pipelines.results.schema import ResultRow
from pipelines.timelines.cues import read_chapters, read_vtt
from pipelines.timelines.text import one_line
from pipelines.timelines.track_formats import TRACK_FORMATS, clock
from pipelines.timelines.tracks import Track, make_track, meet, milliseconds
from tests.support.split_rows import row, split_rows
from videollm.errors import UserError
from videollm.prompts.subtitles import read_subtitles
from videollm.types import Cue

NASTY = "--> </script> &"
PIECES = (
    *("-->", "--", "->", ">", "<", "</script>", "<i>", "<b", "<00:01.000>", "&", "&amp;", "&lt;", "&copy", "AT&T"),
    *("{\\an8}", "{", "}", "\\N", "\\", "\n", "\n\n", "\r\n", "\u2028", "\x00", "\x1b", "\t", " ", "\xa0", "1", "23"),
    *("\n4\n", "=", ";", "#", "00:00:01.000", "00:00:01,000", "00:00:02.000", "WEBVTT", "NOTE", "STYLE", "é", "字"),
    *("🎈", "\ud800", "\ufeff", "[CHAPTER]", "a", "dog", "runs"),
)  # fmt: skip


def text(name: str, track: Track) -> str:
    return TRACK_FORMATS.load(name)().text(track)


def track_of(rows: list[ResultRow], **options: Any) -> Track:
    return make_track([r.to_dict() for r in rows], **options)


def written(folder: Path, name: str, track: Track) -> Path:
    path = folder / f"x.{name}"
    path.write_bytes(text(name, track).encode("utf-8"))
    return path


def random_text(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 9)))


def random_track(seed: int) -> Track:
    """Windows of any length with overlaps and gaps, up to past 100 h; captions of the worst pieces."""
    rng = random.Random(seed)
    start, rows = rng.choice([0.0, 359_990.0]), []
    for i in range(rng.randint(1, 6)):
        end = start + rng.choice([0.0001, 0.0004, 0.5, 2.0, rng.uniform(0.001, 100)])
        rows.append(row(f"v/s{i:05d}", video="v.mp4", parent="v", level="segment", start=start, end=end,
                        answer=random_text(rng)))  # fmt: skip
        rows.append(row(f"v/c{i:03d}", video="v.mp4", parent="v", level="chapter", start=start, end=end,
                        answer=random_text(rng)))  # fmt: skip
        start = max(start, end + rng.uniform(-0.4, 0.2) * (end - start))
    return track_of(rows)


def expected(cues: tuple[Cue, ...], *, apart: bool = False) -> list[tuple[float, float, str]]:
    return [(start / 1000, end / 1000, one_line(cue.text)) for start, end, cue in milliseconds(cues, apart=apart)]


def found(cues: tuple[Cue, ...]) -> list[tuple[float, float, str]]:
    return [(cue.start, cue.end, cue.text) for cue in cues]


def test_formats_are_written_as_they_are_specified() -> None:
    rows = split_rows("v", "v.mp4", ["a < b & c", None, "third", "end"], chapters=["One = 1; #1 \\", "Two"], overlap=2)
    track = track_of(rows)
    assert text("segments.vtt", track) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:10.000\na &lt; b &amp; c\n\n"
        "00:00:20.000 --> 00:00:30.000\nthird\n\n00:00:30.000 --> 00:00:40.000\nend\n"
    )
    assert text("srt", track) == (
        "1\n00:00:00,000 --> 00:00:10,000\na < b & c\n\n"
        "2\n00:00:20,000 --> 00:00:30,000\nthird\n\n3\n00:00:30,000 --> 00:00:40,000\nend\n\n"
    )
    assert json.loads(text("chapters.json", track)) == {
        "version": "1.2.0",
        "chapters": [
            {"startTime": 0.0, "endTime": 20.0, "title": "One = 1; #1 \\"},
            {"startTime": 20.0, "endTime": 40.0, "title": "Two"},
        ],
    }
    assert json.loads(text("dense.json", track)) == {
        "duration": 40.0,
        "timestamps": [[0.0, 10.0], [20.0, 30.0], [30.0, 40.0]],
        "sentences": ["a < b & c", "third", "end"],
    }
    assert text("ffmetadata", track).startswith(
        ";FFMETADATA1\n\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=20000\ntitle=One \\= 1\\; \\#1 \\\\ \n"
    )
    assert (track.num_failed, track.num_to_come, track.summary) == (1, 0, "All of it.")


def test_hours_pass_99() -> None:
    assert clock(100 * 3_600_000 + 61_001) == "100:01:01.001"


@pytest.mark.parametrize("seed", range(300))
def test_what_is_written_is_read_back(seed: int, tmp_path: Path) -> None:
    track = random_track(seed)
    assert found(read_vtt(written(tmp_path, "segments.vtt", track))) == expected(track.segments)
    assert found(read_subtitles(written(tmp_path, "srt", track))) == expected(track.segments)
    chapters = expected(track.chapters, apart=True)
    assert found(read_vtt(written(tmp_path, "chapters.vtt", track))) == chapters
    assert found(read_chapters(written(tmp_path, "chapters.json", track))) == chapters
    dense = json.loads(text("dense.json", track))
    assert [one_line(sentence) for sentence in dense["sentences"]] == [said for _, _, said in expected(track.segments)]
    assert all(start < end for start, end, _ in (*expected(track.segments), *chapters))
    assert all(a[1] <= b[0] for a, b in pairwise(chapters))


@pytest.mark.parametrize("seed", range(0, 300, 10))
def test_ffmpeg_reads_what_is_written(seed: int, tmp_path: Path) -> None:
    track = random_track(seed)
    if track.chapters:
        with av.open(str(written(tmp_path, "ffmetadata", track)), format="ffmetadata") as container:
            chapters = [(c["start"], c["end"], c["metadata"]["title"].strip()) for c in container.chapters()]
        assert chapters == [(s, e, one_line(c.text)) for s, e, c in milliseconds(track.chapters, apart=True)]
    for name, format in (("segments.vtt", "webvtt"), ("srt", "srt")):
        if not track.segments:
            continue
        with av.open(str(written(tmp_path, name, track)), format=format) as container:
            packets = [(p.pts, p.pts + p.duration) for p in container.demux() if p.pts is not None]
        assert packets == [(s, e) for s, e, _ in milliseconds(track.segments)]


def test_random_tracks_are_worth_reading() -> None:
    tracks = [random_track(seed) for seed in range(300)]
    assert sum(len(t.segments) for t in tracks) > 500
    assert any(one_line(c.text) != c.text for t in tracks for c in t.segments)


def test_chromium_reads_what_is_written(browser: Any, tmp_path: Path) -> None:
    texts = [NASTY, "plain", "a &amp; b <00:01.000> {\\an8} x\n\ny", "<i>not</i> &lt;", "字 🎈"]
    track = track_of(split_rows("v", "v.mp4", texts, chapters=[NASTY, "two", "three"]))
    page = tmp_path / "page.html"
    names = ("segments.vtt", "chapters.vtt")
    data = [base64.b64encode(text(name, track).encode()).decode() for name in names]
    elements = "".join(f'<track kind="subtitles" src="data:text/vtt;base64,{each}">' for each in data)
    page.write_text(f"<!doctype html><meta charset=utf-8><video>{elements}</video>")
    browser.open(page)
    browser.js("[...document.querySelectorAll('track')].forEach(element => { element.track.mode = 'hidden' })")
    browser.wait("[...document.querySelectorAll('track')].every(element => element.readyState === 2)")
    shown = browser.js(
        "[...document.querySelectorAll('track')].map(element => [...element.track.cues].map("
        "cue => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent]))"
    )
    assert [[tuple(cue) for cue in cues] for cues in shown] == [
        expected(track.segments),
        expected(track.chapters, apart=True),
    ]
    assert shown[0][0][2] == "</script> &"
    assert browser.js("document.querySelectorAll('script').length") == 0


def test_windows_meet_in_the_middle_of_their_overlap() -> None:
    def windows(*times: tuple[float, float]) -> list[tuple[float, float]]:
        return [(c.start, c.end) for c in meet([Cue(start=start, end=end, text="") for start, end in times])]

    assert windows((0, 12), (8, 22), (18, 30)) == [(0, 10), (10, 20), (20, 30)]
    assert windows((0, 10), (2, 12), (4, 14)) == [(0, 6), (6, 8), (8, 14)]
    assert windows((0, 100), (10, 20)) == [(0, 100), (10, 20)]  # one within the other: no neighbours
    assert windows((0, 10), (0, 10), (10, 20)) == [(0, 10), (0, 10), (10, 20)]


def test_a_failed_segment_leaves_a_gap_and_moves_nobody() -> None:
    track = track_of(split_rows("v", "v.mp4", ["a", None, "c"], overlap=4))
    assert [(c.start, c.end, c.text) for c in track.segments] == [(0, 10, "a"), (20, 30, "c")]


def test_rows_of_a_manifest_are_segments_of_their_video() -> None:
    rows = [row(f"r{i}", video="v.mp4", start=10.0 * i, end=10.0 * i + 12, answer=f"part {i}") for i in range(3)]
    track = track_of(rows)
    assert [(c.start, c.end, c.text) for c in track.segments] == [
        (0, 11, "part 0"),
        (11, 21, "part 1"),
        (21, 32, "part 2"),
    ]
    assert (track.duration, track.chapters) == (32, ())


def test_rows_without_an_end_take_that_of_the_video_or_none() -> None:
    rows = [row("r", video="v.mp4", answer="all")]
    assert track_of(rows, duration=7.5).segments == (Cue(start=0.0, end=7.5, text="all"),)
    untimed = track_of(rows)
    assert (untimed.segments, untimed.num_untimed) == ((), 1)


def test_old_rows_lack_the_columns_of_levels() -> None:
    old: Mapping[str, Any] = {"id": "r", "video": "v.mp4", "start": 1.0, "end": 2.0, "question": "What?", "answer": "x",
                              "status": "ok"}  # fmt: skip
    assert make_track([old]).segments == (Cue(start=1.0, end=2.0, text="x"),)


def test_segments_can_be_chapters() -> None:
    track = track_of(split_rows("v", "v.mp4", ["a", "b"]), segments_are_chapters=True)
    assert track.chapters == track.segments != ()


def test_what_leaves_no_cue_is_counted() -> None:
    rows = split_rows("v", "v.mp4", ["a", " \n", "-->", None, "e"], chapters=["x", None, ""])[:-1]
    track = track_of(rows[:4] + rows[5:])  # one segment's row is still to come, as is that of the video
    assert [c.text for c in track.segments] == ["a"]
    assert (track.num_failed, track.num_empty, track.num_to_come) == (2, 3, 1)


def test_a_chapter_without_an_end_runs_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"chapters": [{"startTime": 0}, {"startTime": 5.5, "title": "B"}]}))
    assert read_chapters(path) == (Cue(start=0, end=5.5, text=""), Cue(start=5.5, end=float("inf"), text="B"))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"chapters": 3}', *(f'{{"chapters": [{{{first}}}]}}' for first in (
        '"title": "x"', '"startTime": "1"', '"startTime": NaN'))],
)  # fmt: skip
def test_other_files_are_no_chapters(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(UserError, match="Expected UTF-8 JSON"):
        read_chapters(tmp_path / "c.json")
    with pytest.raises(UserError, match="No such file"):
        read_chapters(tmp_path / "none.json")


def test_cues_without_words_are_cues_too(tmp_path: Path) -> None:
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\n\n00:01.000 --> 00:02.000\nx\n")
    assert read_vtt(tmp_path / "a.vtt") == (Cue(start=0, end=1, text=""), Cue(start=1, end=2, text="x"))
    assert read_subtitles(tmp_path / "a.vtt") == (Cue(start=1, end=2, text="x"),)
