"""Segments that are given: by manifests, WebVTT and chapters."""

from __future__ import annotations

import json

import pytest

from pipelines.timelines.ranges import given_ranges
from videollm.errors import UserError

VTT = """WEBVTT - of a talk

NOTE nothing to see

intro
00:00.000 --> 00:12.500 align:start
Welcome

00:00:12.500 --> 100:01:02.250

"""
CHAPTERS = {
    "version": "1.2.0",
    "chapters": [{"startTime": 0, "title": "a"}, {"startTime": 12.5, "endTime": 40, "title": "b"}],
}


def test_cues_are_ranges_also_without_words(tmp_path) -> None:
    (tmp_path / "a.vtt").write_text("\ufeff" + VTT)
    assert given_ranges(str(tmp_path / "a.vtt"), "a.mp4") == ((0.0, 12.5), (12.5, 360062.25))


def test_chapters_last_until_the_next(tmp_path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(CHAPTERS))
    assert given_ranges(str(tmp_path / "a.json"), "a.mp4") == ((0.0, 12.5), (12.5, 40.0))


def test_rows_of_a_manifest_are_those_of_one_video(tmp_path) -> None:
    source = tmp_path / "parts.csv"
    source.write_text(f"video,start,end\nb.mp4,30,60.5\na.mp4,0,5\n{tmp_path}/b.mp4,0,30\n")
    assert given_ranges(str(source), str(tmp_path / "b.mp4")) == ((0.0, 30.0), (30.0, 60.5))
    (tmp_path / "parts.jsonl").write_text('{"video": "s3://x/b.mp4", "start": 1, "end": 2.5}\n')
    assert given_ranges(str(tmp_path / "parts.jsonl"), "s3://x/b.mp4") == ((1.0, 2.5),)


def test_a_manifest_here_and_a_video_here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.csv").write_text("video,start,end\nclips/b.mp4,3,6\n")
    assert given_ranges("parts.csv", "clips/b.mp4") == ((3.0, 6.0),)


@pytest.mark.parametrize("name", ["talk.v2.vtt", "talk.v2.segments.vtt", "talk.v2.chapters.json"])
def test_a_folder_has_a_file_for_each_video(tmp_path, name: str) -> None:
    (tmp_path / name).write_text(VTT if name.endswith("vtt") else json.dumps(CHAPTERS))
    (tmp_path / "other.vtt").write_text("nothing")
    assert len(given_ranges(str(tmp_path), "videos/talk.v2.mp4")) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.vtt", "00:01.000 --> 00:02.000", "expected WEBVTT"),
        ("a.vtt", "WEBVTT\n\n1:00 --> 2:00", "line 3: got '1:00 --> 2:00', expected 00:00:00.000"),
        ("a.vtt", "WEBVTT\n", "no segment is given"),
        ("a.vtt", "WEBVTT\n\n00:00.000 --> 00:09.000\na\n\n00:05.000 --> 00:10.000\nb", "segments overlap"),
        ("a.json", "[", "JSONDecodeError.*expected .*startTime"),
        ("a.json", "[]", "cannot be read"),
        ("a.json", '{"version": "2.0", "chapters": []}', "is of version 2.0; expected 1.2.0"),
        ("a.json", '{"version": "1.2.0", "chapters": [{"title": "a"}]}', "KeyError: 'startTime'"),
        ("a.json", '{"version": "1.2.0", "chapters": [{"startTime": 3}]}', "chapter 1: start is 3 and end None"),
        ("a.json", '{"version": "1.2.0", "chapters": [{"startTime": true, "endTime": 3}]}', "expected seconds"),
        ("a.csv", "video,start\na.mp4,5\n", "line 2: start is '5' and end None; expected seconds"),
        ("a.csv", "video,start,end\na.mp4,0,inf\n", "expected seconds, both"),
        ("a.csv", "video,start,end\nb.mp4,0,4\n", "a.mp4: no segment is given"),
        ("a.jsonl", "{\n", "line 1: not JSON"),
        ("a.jsonl", '{"video": 5}\n', "line 1: video is 5"),
        ("a.txt", "0 5", "expected .csv, .jsonl, .parquet, .vtt, .json or a folder"),
    ],
)
def test_what_gives_no_segments(tmp_path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        given_ranges(str(tmp_path / name), str(tmp_path / "a.mp4"))


def test_files_that_are_not_there(tmp_path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: No such file"):
        given_ranges(str(tmp_path / "a.vtt"), "a.mp4")
    with pytest.raises(UserError, match=r"holds no file with the segments of a.mp4; expected one of a.chapters.json"):
        given_ranges(str(tmp_path), "a.mp4")
    for name in ("a.vtt", "a.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=r"holds a.json, a.vtt with the segments of a.mp4"):
        given_ranges(str(tmp_path), "a.mp4")
    (tmp_path / "b.vtt").write_bytes(b"WEBVTT\n\xff")
    with pytest.raises(UserError, match="is not UTF-8"):
        given_ranges(str(tmp_path / "b.vtt"), "a.mp4")
