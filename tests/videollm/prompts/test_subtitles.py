"""Subtitles: files are read whole or refused, and only what is said during the sampled frames is shown."""

import json

import pytest

from videollm.prompts.subtitles import read_subtitles, spoken, with_subtitles
from videollm.types import Cue, Subtitles

SRT = """\ufeff1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> &amp; welcome
to the show

2
00:01:00,000 --> 00:01:02,000
{\\an8}Goodbye
"""
VTT = """WEBVTT

intro
00:01.000 --> 00:02.500 align:start
Hello & welcome to the show

01:00.000 --> 01:02.000
Goodbye
"""
CUES = (Cue(start=1.0, end=2.5, text="Hello & welcome to the show"), Cue(start=60.0, end=62.0, text="Goodbye"))


@pytest.mark.parametrize(("name", "text"), [("a.srt", SRT), ("a.vtt", VTT), ("dos.srt", SRT.replace("\n", "\r\n"))])
def test_srt_and_vtt_give_the_same_cues(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert read_subtitles(tmp_path / name) == CUES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("note.vtt", "WEBVTT - of Bob\nKind: captions\n\nNOTE by hand\n\nSTYLE\n::cue { color: red }\n\n"
                     "00:01.000 --> 00:02.000\n<v Bob>Hello <00:01.200><c>there</c>\n\nNOTE\nnot said\n\n"
                     "second cue\n00:03.000 --> 00:04.000 align:start\n3 &lt; 4\n\nNOTE the end\n"),
        ("plain.srt", "1\n00:00:01,000 --> 00:00:02,000\n<b>Hello</b> there\n\n"
                      "2\n00:00:03,000 --> 00:00:04,000\n3 < 4\n"),
        ("close.srt", "1\n00:00:01,000 --> 00:00:02,000\nHello there\n2\n00:00:03,000 --> 00:00:04,000\n3 < 4\n"),
        ("wide.srt", "1\n00:00:01.0 --> 00:00:02.0 X1:10 X2:20\nHello\n\nthere\n\n"
                     "2\n00:00:03.0 --> 00:00:04.0\n3 < 4\n\n"
                     "3\n00:00:05,000 --> 00:00:06,000\n\n\n4\n00:00:07,000 --> 00:00:08,000\n\n"),
    ],
)  # fmt: skip
def test_only_what_is_said_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_subtitles(tmp_path / name) == (
        Cue(start=1.0, end=2.0, text="Hello there"),
        Cue(start=3.0, end=4.0, text="3 < 4"),
    )


def test_words_in_braces_are_said(tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\n{laughs} {\\an8}Well\n")
    assert [c.text for c in read_subtitles(tmp_path / "a.srt")] == ["{laughs} Well"]


def test_both_layouts_of_longvideobench(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"start": "00:00:01.0", "end": "00:00:02.5", "line": "Hello"}]))
    (tmp_path / "b.json").write_text(
        json.dumps([{"timestamp": [1.0, None], "text": "Hello"}, {"timestamp": [2.5, 3.0], "text": "you"}])
    )
    assert read_subtitles(tmp_path / "a.json") == (Cue(start=1.0, end=2.5, text="Hello"),)
    assert read_subtitles(tmp_path / "b.json")[0] == Cue(start=1.0, end=2.5, text="Hello")


def test_times_count_from_where_the_video_begins(tmp_path):
    (tmp_path / "a.srt").write_text(SRT)
    cues = read_subtitles(tmp_path / "a.srt", 30.0)
    assert cues == tuple(Cue(start=c.start - 30, end=c.end - 30, text=c.text) for c in CUES)
    assert spoken(cues, [0.0, 30.5]) == ["Goodbye"]


def test_an_empty_file_has_no_cues(tmp_path):
    (tmp_path / "a.srt").write_text("")
    assert read_subtitles(tmp_path / "a.srt") == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.srt", b"no times at all"), ("a.srt", b"\xff\xfe1"), ("a.srt", b"1\n1 --> 2\nx"), ("a.json", b"{}x"),
     ("a.json", b'[{"start": 1}]')],
)  # fmt: skip
def test_anything_else_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        read_subtitles(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_subtitles(tmp_path / "a.srt")


def test_only_what_is_said_during_the_frames_is_shown():
    assert spoken(CUES, [0.0, 1.0, 2.0, 30.0]) == ["Hello & welcome to the show"]
    assert spoken(CUES, [2.5, 62.0]) == []  # the end of a cue is not in it
    subtitles = Subtitles(cues=CUES, heading="Said:")
    assert with_subtitles("What?", subtitles, [61.0, 1.5]) == "Said:\nHello & welcome to the show\nGoodbye\nWhat?"
    assert with_subtitles("What?", subtitles, [10.0]) == "What?"
    assert with_subtitles("What?", None, [1.0]) == "What?"
