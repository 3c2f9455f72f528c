"""Captions of long videos part by part: rows of all levels, each once, whatever happens on the way."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import caption
from pipelines.cli.caption import CaptionOptions
from pipelines.cli.options import FrameOptions, GenerationOptions, WorkerOptions
from pipelines.cli.split_options import PartOptions
from tests.support.rows import rows_of
from videollm.errors import UserError
from videollm.shapes.long import LongConfig, write_long

SPLIT = {"split": "fixed", "segment_seconds": 8.0, "overlap": 0.0, "chapter_minutes": 0.5}
TIMES = ("decode_seconds", "encode_seconds", "generate_seconds")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of 68 s: 8 segments of 8 s each, a remainder of 4 s, and chapters of half a minute."""
    folder = tmp_path_factory.mktemp("long")
    write_long(folder, LongConfig(minutes=(68 / 60,), num_clips=2, controls=()))
    for file in folder.glob("*.json*"):
        file.unlink()
    return folder


def captions(videos: Path, output: Path, split: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Run the job in this process, and return its rows by id."""
    options.setdefault("workers", WorkerOptions(executor="local"))
    parts = PartOptions(**(SPLIT if split is None else split))
    caption.main(CaptionOptions(inputs=(str(videos),), output=output, parts=parts, **options))
    return rows_of(output)


def texts(rows: dict[str, Any]) -> dict[str, Any]:
    return {id: {name: value for name, value in row.items() if name not in TIMES} for id, row in rows.items()}


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return captions(videos, tmp_path_factory.mktemp("undisturbed") / "out")


def test_a_video_has_rows_of_all_levels(videos: Path, undisturbed: dict[str, Any]) -> None:
    (parent,) = (row for id, row in undisturbed.items() if row["level"] == "video" and "00000" in row["video"])
    below = [row for row in undisturbed.values() if row["parent"] == parent["id"] and row is not parent]
    below.sort(key=lambda row: row["id"])
    segments = [row for row in below if row["level"] == "segment"]
    assert [row["id"] for row in segments] == [f"{parent['id']}/s{i:05d}" for i in range(len(segments))]
    assert [(row["start"], row["end"]) for row in segments] == [(8.0 * i, min(8.0 * i + 8, 68)) for i in range(9)]
    assert [row["split_reason"] for row in segments] == ["fixed"] * 8 + ["end"]
    for row in segments:
        assert all(row["start"] <= second < row["end"] for second in row["frame_seconds"])
    chapters = [row for row in below if row["level"] == "chapter"]
    assert [(row["start"], row["end"]) for row in chapters] == [(0.0, 32.0), (32.0, 68.0)]
    assert [row["num_segments"] for row in (*chapters, parent)] == [4, 5, 9]
    assert (parent["start"], parent["end"], parent["children_failed"]) == (None, None, 0)
    for row in segments:  # short enough that nothing is left out
        assert row["answer"] in parent["answer"]


def test_without_a_split_rows_are_todays(videos: Path, tmp_path: Path) -> None:
    plain = captions(videos, tmp_path / "plain", {})
    assert not (tmp_path / "plain" / "_plans.jsonl").exists()
    assert len(plain) == 2
    assert {row["level"] for row in plain.values()} == {None}


def test_one_segment_is_the_row_of_a_manifest_with_start_and_end(videos: Path, tmp_path: Path) -> None:
    video = sorted(videos.iterdir())[0]
    (tmp_path / "one.jsonl").write_text(json.dumps({"id": "v", "video": str(video), "start": 8, "end": 16}))
    (row,) = captions(tmp_path / "one.jsonl", tmp_path / "manifest", {}).values()
    made = captions(video, tmp_path / "split")
    (segment,) = (r for id, r in made.items() if id.endswith("/s00001"))
    for name in ("start", "end", "answer", "prompt", "frame_indices", "frame_seconds", "video_hash"):
        assert segment[name] == row[name], name
    whole = captions(tmp_path / "one.jsonl", tmp_path / "inside", {**SPLIT, "segment_seconds": 4.0})
    assert [r["start"] for r in whole.values() if r["level"] == "segment"] == [8.0, 12.0]


def test_windows_overlap_and_times_stay_absolute(videos: Path, tmp_path: Path) -> None:
    rows = captions(videos, tmp_path / "out", {**SPLIT, "overlap": 2.0})
    starts = [(r["start"], r["end"]) for r in rows.values() if r["level"] == "segment" and "00000" in r["video"]]
    assert sorted(starts) == [(max(0.0, 8.0 * i - 1), min(8.0 * i + 9, 68.0)) for i in range(9)]


def test_levels_are_made_as_asked(videos: Path, tmp_path: Path) -> None:
    rows = captions(videos, tmp_path / "segments", {**SPLIT, "levels": "segment"})
    assert {row["level"] for row in rows.values()} == {"segment"}
    rows = captions(videos, tmp_path / "video", {**SPLIT, "levels": "segment,video"})
    assert {row["level"] for row in rows.values()} == {"segment", "video"}
    with pytest.raises(UserError, match="segment among them"):
        captions(videos, tmp_path / "chapter", {**SPLIT, "levels": "chapter"})
    assert not (tmp_path / "chapter").exists()


def test_ray_makes_the_same_rows(videos: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    rows = captions(videos, tmp_path / "out", workers=WorkerOptions(executor="ray_actors", num_decoders=2))
    assert texts(rows) == texts(undisturbed)


def test_ray_data_makes_the_same_rows(videos: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    rows = captions(videos, tmp_path / "out", workers=WorkerOptions(executor="ray_data", num_decoders=2))
    assert texts(rows) == texts(undisturbed)


def test_a_killed_job_goes_on_with_the_same_rows(videos: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "pipelines.cli.main", "caption", videos, "-o", "out", "--executor", "local",
               "--split", "fixed", "--segment-seconds", "8", "--overlap", "0", "--chapter-minutes", "0.5"]  # fmt: skip
    journal, rng = tmp_path / "out" / "_journal.jsonl", random.Random(0)
    for wanted in sorted(rng.sample(range(1, len(undisturbed)), 3)):
        running = subprocess.Popen([str(part) for part in command], cwd=tmp_path, stdout=subprocess.DEVNULL)
        while running.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= wanted):
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
    made = captions(videos, tmp_path / "out")
    assert texts(made) == texts(undisturbed)
    plans = [json.loads(line)["parent"] for line in (tmp_path / "out" / "_plans.jsonl").read_text().splitlines()]
    assert len(plans) == len(set(plans)) == 2


def test_a_plan_is_followed_and_not_made_again(videos: Path, tmp_path: Path) -> None:
    captions(videos, tmp_path / "out")
    path = tmp_path / "out" / "_plans.jsonl"
    plans = [json.loads(line) for line in path.read_text().splitlines()]
    for plan in plans:  # other software cut elsewhere
        plan["segments"][0]["end"] = plan["segments"][1]["start"] = 9.5
    path.write_text("".join(json.dumps(plan) + "\n" for plan in plans) + '{"parent": "torn')
    for file in tmp_path.glob("out/part-*"):
        file.unlink()
    rows = captions(videos, tmp_path / "out")
    assert [row["end"] for id, row in rows.items() if id.endswith("/s00000")] == [9.5, 9.5]
    assert len(path.read_text().splitlines()) == 2


def test_a_repaired_video_is_not_mixed_with_the_damaged_one(videos: Path, tmp_path: Path) -> None:
    whole = sorted(videos.iterdir())[0]
    damaged = tmp_path / "videos" / "video.mp4"
    damaged.parent.mkdir()
    data = bytearray(whole.read_bytes())
    moov = data.rfind(b"moov")
    assert moov > len(data) // 2, "the index comes last, so that the pictures alone are damaged"
    middle = slice(int(moov * 0.4), int(moov * 0.6))
    data[middle] = bytes(len(data[middle]))
    damaged.write_bytes(data)
    rows = captions(damaged.parent, tmp_path / "out")
    (video,) = (row for row in rows.values() if row["level"] == "video")
    bad = [row["id"] for row in rows.values() if row["level"] == "segment" and row["status"] != "ok"]
    assert 0 < len(bad) < 9
    assert (video["status"], video["children_failed"]) == ("partial", len(bad))
    assert f"{len(bad)} of its 9 segments" in video["error"]

    shutil.copy(whole, damaged)
    again = captions(damaged.parent, tmp_path / "out", retry_errors=True)
    assert {again[id]["status"] for id in bad} == {"changed"}
    healthy = [id for id, row in rows.items() if row["status"] == "ok"]
    assert {id: again[id] for id in healthy} == {id: rows[id] for id in healthy}
    assert again[video["id"]]["status"] == "partial"


def test_errors_are_retried_with_their_ancestors_alone(videos: Path, tmp_path: Path) -> None:
    rows = captions(videos, tmp_path / "out", format="jsonl")
    bad = next(id for id in rows if id.endswith("/s00003"))
    parent = rows[bad]["parent"]
    (shard,) = tmp_path.glob("out/part-*.jsonl")
    lines = [json.loads(line) for line in shard.read_text().splitlines()]
    for row in lines:
        if row["id"] == bad:
            row |= {"status": "timeout", "answer": None, "error": "timeout after 120.0s"}
        if row["id"] in (parent, f"{parent}/c000"):
            row |= {"status": "partial", "answer": "less", "error": "1 of its segments", "children_failed": 1}
    shard.write_text("".join(json.dumps(row) + "\n" for row in lines))
    again = captions(videos, tmp_path / "out", format="jsonl", retry_errors=True)
    assert texts(again) == texts(rows)
    made = {id for id, row in again.items() if row != rows[id]}
    assert made == {bad}


def test_a_video_that_cannot_be_read_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "text.mp4").write_text("not a video")
    (row,) = captions(tmp_path / "videos", tmp_path / "out").values()
    assert (row["status"], row["level"]) == ("no_video", "video")


def test_the_caption_before_is_told(videos: Path, tmp_path: Path) -> None:
    rows = captions(videos, tmp_path / "out", {**SPLIT, "context": "previous"})
    segments = [row for row in rows.values() if row["level"] == "segment" and "00000" in row["video"]]
    segments.sort(key=lambda row: row["segment"])
    assert "Before this part" not in segments[0]["prompt"]
    for before, row in pairwise(segments):
        assert f"Before this part of the video: {before['answer']}\n" in row["prompt"]


def test_segments_are_given(videos: Path, tmp_path: Path) -> None:
    first, second = sorted(videos.iterdir())
    lines = [{"video": str(first), "start": 0, "end": 10}, {"video": str(first), "start": 20, "end": 68},
             {"video": str(second), "start": 4, "end": 8}]  # fmt: skip
    (tmp_path / "segments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = captions(
        videos, tmp_path / "out", {"split": "given", "segments": tmp_path / "segments.jsonl", "overlap": 0.0}
    )
    found = [
        (Path(r["video"]).name, r["start"], r["end"], r["split_reason"])
        for r in rows.values()
        if r["level"] == "segment"
    ]
    assert sorted(found) == [
        (first.name, 0, 10, "given"), (first.name, 10, 20, "gap"), (first.name, 20, 68, "given"),
        (second.name, 0, 4, "gap"), (second.name, 4, 8, "given"), (second.name, 8, 68, "gap"),
    ]  # fmt: skip


def test_scenes_are_merged_by_their_features(videos: Path, tmp_path: Path) -> None:
    options = {"split": "scenes", "overlap": 0.0, "max_seconds": 60.0}
    shots = captions(videos, tmp_path / "shots", {**options, "alike": 1.0})
    scenes = captions(videos, tmp_path / "scenes", {**options, "alike": 0.5})
    number = [sum(row["level"] == "segment" for row in rows.values()) for rows in (shots, scenes)]
    assert number[0] > number[1] >= 2


def test_a_dry_run_counts_segments(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    caption.main(
        CaptionOptions(
            inputs=(str(videos),),
            output=tmp_path / "out",
            parts=PartOptions(**SPLIT),
            dry_run=True,
            generation=GenerationOptions(max_new_tokens=4),
            frames=FrameOptions(num_frames=4),
        )
    )
    printed = capsys.readouterr().out
    assert "2 videos, 0.04 hours: 18 segments, 6 chapters and summaries by --reduce extract" in printed
    assert "72 frames" in printed
    assert not (tmp_path / "out").exists()
