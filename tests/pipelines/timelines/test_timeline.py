"""`videollm timeline`: files of every video of a job, whatever its size and state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import caption, timeline
from pipelines.cli.caption import CaptionOptions
from pipelines.cli.timeline import TimelineOptions
from pipelines.results.journal import Output, read_rows
from pipelines.timelines import grouping
from pipelines.timelines.cues import read_chapters, read_vtt
from tests.support.split_rows import row, split_rows, write_output
from videollm import probe
from videollm.errors import UserError
from videollm.types import Cue


def index(folder: Path) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in map(json.loads, (folder / "timelines.jsonl").read_text().splitlines())}


def test_a_captioned_folder_becomes_tracks(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real job over whole videos, a part of one, and a file that is no video."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    manifest = tmp_path / "m.jsonl"
    asked: list[dict[str, Any]] = [
        {"id": "a", "video": str(clips / "clip0.mp4")},
        {"id": "b", "video": str(clips / "clip1.mp4"), "end": 0.5},
        {"id": "c", "video": str(clips / "clip1.mp4"), "start": 0.5},
        {"id": "d", "video": "broken.mp4"},
    ]
    manifest.write_text("".join(json.dumps(each) + "\n" for each in asked))
    output = tmp_path / "out"
    caption.main(CaptionOptions(inputs=(str(manifest),), output=output))
    capsys.readouterr()
    timeline.main(TimelineOptions(output=output, chapters="segment"))
    assert "3 videos, 3 cues" in (printed := capsys.readouterr().out)
    assert "1 segments or chapters failed: no cue." in printed
    found, answers = index(output / "timelines"), {r["id"]: r["answer"] for r in read_rows(output)}
    length = probe(str(clips / "clip0.mp4")).duration_seconds
    (whole,) = read_vtt(output / "timelines" / found["a"]["files"][0])
    assert whole == Cue(start=0, end=pytest.approx(length, abs=0.001), text=" ".join(answers["a"].split()))
    parts = read_chapters(next((output / "timelines").glob("clip1-*.chapters.json")))
    assert [(cue.start, cue.end) for cue in parts] == [(0, 0.5), (0.5, pytest.approx(length, abs=0.001))]


def test_two_videos_of_one_name_have_files_of_their_own(tmp_path: Path) -> None:
    rows = [*split_rows("a", "x/talk.mp4", ["one"]), *split_rows("b", "y/talk.mp4", ["two"])]
    timeline.main(TimelineOptions(output=write_output(tmp_path / "out", rows), to=tmp_path / "tracks"))
    found = index(tmp_path / "tracks")
    texts = {id: read_vtt(tmp_path / "tracks" / entry["files"][0])[0].text for id, entry in found.items()}
    assert texts == {"a": "one", "b": "two"}
    assert all(file.startswith("talk-") for entry in found.values() for file in entry["files"])


@pytest.mark.parametrize("name", ["n" * 250, "字" * 80, 'a\nb:c*?"<>|', "..", "\udc80"])
def test_any_name_of_a_video_makes_a_name(tmp_path: Path, name: str) -> None:
    rows = split_rows("a", f"x/{name}.mp4".encode("utf-8", "replace").decode(), ["one"])
    timeline.main(TimelineOptions(output=write_output(tmp_path / "out", rows)))
    (entry,) = index(tmp_path / "out" / "timelines").values()
    assert read_vtt(tmp_path / "out" / "timelines" / entry["files"][0])[0].text == "one"


def test_many_rows_in_any_order_give_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than are held in memory, those of a video spread over shards and the journal."""
    rows = [r for i in range(30) for r in split_rows(f"v{i}", f"v{i}.mp4", ["a", "b", "c"], chapters=["x", "y"])]
    few = write_output(tmp_path / "few", rows)
    many = write_output(tmp_path / "many", sorted(rows, key=lambda r: r.id[::-1]), rows_per_shard=50)
    assert len(list(many.glob("part-*"))) == 3
    timeline.main(TimelineOptions(output=few))
    monkeypatch.setattr(grouping, "MAX_ROWS_HELD", 20)
    timeline.main(TimelineOptions(output=many))
    a, b = ({p.name: p.read_bytes() for p in (folder / "timelines").iterdir() if p.name != "timelines.jsonl"}
            for folder in (few, many))  # fmt: skip
    assert len(a) == 30 * 6
    assert a == b
    assert index(few / "timelines") == index(many / "timelines")


def test_it_can_be_run_while_the_job_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = split_rows("v", "v.mp4", ["a", "b", "c"])
    folder = write_output(tmp_path / "out", [])
    timeline.main(TimelineOptions(output=folder))
    assert "0 videos" in capsys.readouterr().out
    with Output(folder, "parquet", 100) as output:
        output.append(rows[:2])
        timeline.main(TimelineOptions(output=folder))
        assert "1 segments have no row yet: no cue." in capsys.readouterr().out
        output.append(rows[2:])
        timeline.main(TimelineOptions(output=folder))
    assert "1 videos, 3 cues" in capsys.readouterr().out


def test_files_that_would_not_change_are_left_alone(tmp_path: Path) -> None:
    folder = write_output(tmp_path / "out", split_rows("v", "v.mp4", ["a"]))
    timeline.main(TimelineOptions(output=folder, formats="srt, dense.json"))
    written = {path.name: path.stat().st_ino for path in (folder / "timelines").glob("v-*")}
    assert sorted(name.partition(".")[2] for name in written) == ["dense.json", "srt"]
    timeline.main(TimelineOptions(output=folder, formats="srt,dense.json"))
    assert {path.name: path.stat().st_ino for path in (folder / "timelines").glob("v-*")} == written


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown track format 'ass'"):
        timeline.main(TimelineOptions(output=write_output(tmp_path / "out", []), formats="ass"))
    with pytest.raises(UserError, match="Expected the output folder of a job"):
        timeline.main(TimelineOptions(output=tmp_path))


def test_rows_that_name_no_video_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timeline.main(TimelineOptions(output=write_output(tmp_path / "out", [row("bad")])))
    assert "1 rows name no video: no file." in capsys.readouterr().out
