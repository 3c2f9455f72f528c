"""Options about long videos that cannot be met: refused before anything is claimed, in words that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cli.main import main
from pipelines.timelines.given_file import GivenSegments
from pipelines.timelines.options import read_prompt
from tests.support.clips import write
from videollm.errors import VideoError
from videollm.types import Clip

LONG = "Describe what can be seen, and who does what. " * 20
REFUSED = [
    ("--split shots --shot-cues wrong", "Unknown cue of cuts 'wrong'"),
    ("--split wrong", "Unknown splitter 'wrong'"),
    ("--segment-seconds 5", "--segment-seconds is about parts of videos, and --split is none"),
    ("--segments parts.vtt", "--segments is about parts of videos, and --split is none"),
    ("--split fixed --segments parts.vtt", "goes with --split given"),
    ("--split fixed --chapter-minutes nan", "--chapter-minutes is nan"),
    ("--split fixed --segment-seconds 0.001 --overlap 0", "--max-seconds is 0.001; expected 0.1 or more"),
    ("--split fixed --reduce llm --prompt-chapter all", "--prompt-chapter has no {notes}"),
]
REFUSED_SEARCHES = [
    ("--look-seconds 5", "--strategy is"),
    ("--strategy wrong", "Unknown strategy 'wrong'"),
    ("--strategy mapreduce --look-seconds 0.001", "--look-seconds is 0.001"),
    ("--strategy mapreduce --strategy-config wrong=1", "has no wrong"),
]


@pytest.mark.parametrize(("options", "told"), REFUSED, ids=[options for options, _ in REFUSED])
def test_parts_that_cannot_be_made_are_refused(
    options: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["caption", str(write(tmp_path / "video.mp4", 8)), *options.split()], told, tmp_path, capsys)


@pytest.mark.parametrize(("options", "told"), REFUSED_SEARCHES, ids=[options for options, _ in REFUSED_SEARCHES])
def test_searches_that_cannot_be_made_are_refused(
    options: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write(tmp_path / "video.mp4", 8)
    (tmp_path / "asked.csv").write_text(f"video,question\n{video},Is anything red?\n")
    refused(["answer", str(tmp_path / "asked.csv"), *options.split()], told, tmp_path, capsys)


def refused(command: list[str], told: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "-o", str(folder / "out")])
    assert ended.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not (folder / "out").exists()


def test_a_prompt_is_a_text_of_any_length_or_a_file(tmp_path: Path) -> None:
    assert read_prompt("segment", LONG) == LONG
    (tmp_path / "prompt.txt").write_text("Décris {question}\n", encoding="utf-8")
    assert read_prompt("segment", str(tmp_path / "prompt.txt")) == "Décris {question}"


def test_given_segments_are_those_inside_of_a_range() -> None:
    given = GivenSegments(source=Path("parts.vtt"), of_any=[(0.0, 4.0), (5.0, 9.0), (9.0, float("inf"))])
    assert given.of_clip(Clip(video="v"), 20.0) == [(0.0, 4.0), (5.0, 9.0), (9.0, 20.0)]
    assert given.of_clip(Clip(video="v", start=3.0, end=8.0), 5.0) == [(0.0, 1.0), (2.0, 5.0)]
    assert given.of_clip(Clip(video="v", start=10.0), 10.0) == [(0.0, 10.0)]
    with pytest.raises(VideoError, match="no segment of v from 4 s to 5 s"):
        given.of_clip(Clip(video="v", start=4.0, end=5.0), 1.0)
