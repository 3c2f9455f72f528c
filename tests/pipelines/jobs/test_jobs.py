"""Whole jobs on a real local Ray."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from pipelines.cli import answer, caption
from pipelines.cli.answer import AnswerOptions
from pipelines.cli.caption import CaptionOptions
from pipelines.cli.options import FrameOptions, GenerationOptions, ModelOptions, WorkerOptions
from tests.support.rows import rows_of
from videollm.errors import UserError

SHORT = GenerationOptions(max_new_tokens=4)


def job(kind: type, inputs: Path | str, output: Path, model: str, **options: Any) -> Any:
    options.setdefault("generation", SHORT)
    options.setdefault("model", ModelOptions(model=model))
    return kind(inputs=(str(inputs),), output=output, **options)


def write_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 16000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def poisoned(
    tmp_path_factory: pytest.TempPathFactory, clips: Path, server: str, write_clip: Callable[..., Path]
) -> tuple[Path, Any]:
    """A manifest of everything that goes wrong at once, and the status each row must have."""
    folder = tmp_path_factory.mktemp("poisoned")
    good = (clips / "clip0.mp4").read_bytes()
    (folder / "empty.mp4").touch()
    (folder / "truncated.mp4").write_bytes(good[: len(good) // 2])
    (folder / "flipped.mp4").write_bytes(bytes(b ^ 0xFF if i % 7 == 0 else b for i, b in enumerate(good)))
    (folder / "text.mp4").write_text("not a video")
    (folder / "video.txt").write_bytes(good)
    (folder / "folder.mp4").mkdir()
    write_audio(folder / "audio.mp4")
    write_clip(folder / "one.mp4", num_frames=1)
    write_clip(folder / "tenth.mp4", num_frames=3, fps=30)
    write_clip(folder / "8k.mp4", num_frames=1, size=(4320, 7680))
    (folder / "das Video, 動画 🎬.mp4").write_bytes(good)
    (folder / ("n" * 250 + ".mp4")).write_bytes(good)
    failing = ("no_video", "decode_error")
    cases: list[tuple[Any, Any]] = [
        ({"id": "good", "video": str(clips / "clip0.mp4")}, "ok"),
        ({"id": "again", "video": str(clips / "clip0.mp4"), "question": "Where?", "options": ["left", "right"]}, "ok"),
        ({"id": "part", "video": str(clips / "clip0.mp4"), "start": 0.5, "end": 1.0}, "ok"),
        ({"id": "empty", "video": "empty.mp4"}, failing),
        ({"id": "truncated", "video": "truncated.mp4"}, failing),
        ({"id": "flipped", "video": "flipped.mp4"}, failing),
        ({"id": "text", "video": "text.mp4"}, failing),
        ({"id": "extension", "video": "video.txt"}, "ok"),
        ({"id": "folder", "video": "folder.mp4"}, (*failing, "not_found")),
        ({"id": "audio", "video": "audio.mp4"}, failing),
        ({"id": "one frame", "video": "one.mp4"}, "ok"),
        ({"id": "0.1 s", "video": "tenth.mp4"}, "ok"),
        ({"id": "8K", "video": "8k.mp4"}, "ok"),
        ({"id": "unicode 動画", "video": "das Video, 動画 🎬.mp4", "question": "Was bewegt sich zuerst? 🎈"}, "ok"),
        ({"id": "i" * 5000, "video": "n" * 250 + ".mp4"}, "ok"),
        ({"id": "name too long", "video": "n" * 5000 + ".mp4"}, (*failing, "not_found")),
        ({"id": "missing", "video": "missing.mp4"}, "not_found"),
        ({"id": "http", "video": f"{server}/clip1.mp4"}, "ok"),
        ({"id": "http missing", "video": f"{server}/nothing.mp4"}, ("not_found", "fetch_error")),
        ({"id": "past the end", "video": str(clips / "clip1.mp4"), "start": 100}, "bad_range"),
        ({"id": "start > end", "video": str(clips / "clip1.mp4"), "start": 3, "end": 1}, "bad_request"),
        ({"id": "start", "video": str(clips / "clip1.mp4"), "start": "soon"}, "bad_request"),
        ({"id": "prompt too long", "video": str(clips / "clip1.mp4"), "question": "word " * 20000}, "generate_error"),
        ({"id": "beside it", "video": str(clips / "clip1.mp4")}, "ok"),
        ({"video": str(clips / "clip2.mp4")}, "ok"),
        ({"video": str(clips / "clip2.mp4")}, "ok"),
        ({"id": "good", "video": str(clips / "clip3.mp4")}, "bad_request"),
        ("{this is no JSON", "bad_request"),
    ]
    if os.geteuid() != 0:
        (folder / "secret.mp4").write_bytes(good)
        (folder / "secret.mp4").chmod(0)
        cases.append(({"id": "secret", "video": "secret.mp4"}, "permission_denied"))
    lines = [c if isinstance(c, str) else json.dumps({"question": "What?", **c}, ensure_ascii=False) for c, _ in cases]
    (folder / "requests.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "requests.jsonl", cases


@pytest.fixture(scope="module", params=["local", "ray_actors"])
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, poisoned: tuple[Path, Any], model: str
) -> Path:
    """The output of a job over the poisoned manifest, by each executor."""
    output = tmp_path_factory.mktemp("jobs") / "answers"
    workers = WorkerOptions(executor=request.param, clips_per_batch=4)
    answer.main(job(AnswerOptions, poisoned[0], output, model, workers=workers))
    return output


def test_every_request_has_its_row(finished: Path, poisoned: tuple[Path, Any]) -> None:
    rows = rows_of(finished)
    assert len(rows) == len(poisoned[1])
    for case, expected in poisoned[1]:
        if isinstance(case, dict) and "id" in case and case.get("video", "")[-9:] != "clip3.mp4":
            row = rows[case["id"]]
            allowed = (expected,) if isinstance(expected, str) else expected
            assert row["status"] in allowed, f"{case['id'][:40]}: {row['status']}: {row['error']}"
            assert (row["error"] is None) == (row["status"] == "ok"), row
    statuses = Counter(r["status"] for r in rows.values())
    assert statuses["bad_request"] == 4
    assert statuses["ok"] == sum(expected == "ok" for _, expected in poisoned[1])
    assert next(r for r in rows.values() if r["id"].startswith("good#"))["error"].count("line 1")


def test_videos_that_hang_time_out_alone(tmp_path: Path, clips: Path, model: str, hanging: str) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    cases: dict[str, tuple[object, tuple[str, ...]]] = {
        "pipe": ("pipe.mp4", ("no_video", "decode_error", "timeout")),
        "hang": (hanging, ("timeout", "fetch_error")),
        "good": (str(clips / "clip0.mp4"), ("ok",)),
    }
    rows = [{"id": id, "video": video, "question": "What?"} for id, (video, _) in cases.items()]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    workers = WorkerOptions(decode_timeout=8.0)
    answer.main(job(AnswerOptions, tmp_path / "m.jsonl", tmp_path / "out", model, workers=workers))
    for id, row in rows_of(tmp_path / "out").items():
        assert row["status"] in cases[id][1], f"{id}: {row['status']}: {row['error']}"
        assert (row["error"] is None) == (row["status"] == "ok")


def test_rows_say_what_was_done(finished: Path, model: str) -> None:
    rows = rows_of(finished)
    good, again, part = rows["good"], rows["again"], rows["part"]
    assert good["frame_indices"] == again["frame_indices"]
    assert len(good["frame_seconds"]) == 8
    assert "(A) left" in again["prompt"]
    assert good["num_visual_tokens"] > 0
    assert good["model"] == model
    assert good["connector"] == "stc"
    assert good["finish_reason"] in ("length", "stop")
    assert min(part["frame_seconds"]) >= 0.5
    assert max(part["frame_seconds"]) < 1.0
    assert good["decode_seconds"] > 0 < good["encode_seconds"]
    assert good["generate_seconds"] > 0
    run = json.loads((finished / "run.json").read_text())
    assert run["config"]["seed"] == 0
    assert run["sessions"][0]["versions"]["torch"]
    assert run["sessions"][0]["sampling"]["policy"] == "segment_centers"
    assert run["finished"]


def test_finished_job_does_nothing(
    finished: Path, poisoned: tuple[Path, Any], model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_of(finished)
    answer.main(job(AnswerOptions, poisoned[0], finished, model))
    assert "Nothing to do" in capsys.readouterr().out
    assert rows_of(finished) == before
    first, *_, last = json.loads((finished / "run.json").read_text())["sessions"]
    assert "executor" in first
    assert "executor" not in last  # nothing was started


def test_changed_configuration_is_refused(finished: Path, poisoned: tuple[Path, Any], model: str) -> None:
    with pytest.raises(UserError, match=r"num_frames: was null, now 4"):
        answer.main(job(AnswerOptions, poisoned[0], finished, model, frames=FrameOptions(num_frames=4)))
    with pytest.raises(UserError, match=r"command: was"):
        caption.main(job(CaptionOptions, poisoned[0], finished, model))


def test_changed_request_is_refused(finished: Path, poisoned: tuple[Path, Any], model: str) -> None:
    manifest = poisoned[0]
    text = manifest.read_text()
    try:
        manifest.write_text(text.replace("What?", "Why?", 1))
        with pytest.raises(UserError, match="'good' asks something else"):
            answer.main(job(AnswerOptions, manifest, finished, model))
    finally:
        manifest.write_text(text)


def test_a_clip_is_decoded_and_encoded_once_and_answered_as_alone(finished: Path, clips: Path, model: str) -> None:
    """The rows of a batch job are what the model says in this process, one question at a time."""
    import videollm

    here = videollm.load(model)
    generation = replace(here.generation, **SHORT.given())
    rows = rows_of(finished)
    for id in ("good", "http", "one frame"):
        row = rows[id]
        video = {"good": clips / "clip0.mp4", "http": clips / "clip1.mp4"}.get(id)
        if video is not None:
            assert here.answer(video, "What?", generation=generation).text == row["answer"]


def test_retry_errors_replaces_their_rows(
    tmp_path: Path, clips: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    for i in range(3):
        (tmp_path / "videos" / f"{i}.mp4").write_bytes((clips / f"clip{i}.mp4").read_bytes() if i != 1 else b"")
    task = job(CaptionOptions, tmp_path / "videos", tmp_path / "out", model, format="jsonl")
    caption.main(task)
    first = rows_of(tmp_path / "out")
    assert Counter(r["status"] == "ok" for r in first.values()) == {True: 2, False: 1}
    (tmp_path / "videos" / "1.mp4").write_bytes((clips / "clip1.mp4").read_bytes())
    capsys.readouterr()
    caption.main(task)
    assert "Nothing to do" in capsys.readouterr().out
    split = WorkerOptions(split_llm=True, num_decoders=2)
    caption.main(job(CaptionOptions, tmp_path / "videos", tmp_path / "out", model, format="jsonl", retry_errors=True,
                     workers=split))  # fmt: skip
    assert [r["status"] for r in rows_of(tmp_path / "out").values()] == ["ok"] * 3
