"""Answers searched in long videos by a model, in jobs, evals and at the prompt."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import answer, ask
from pipelines.cli.answer import AnswerOptions
from pipelines.cli.ask import AskOptions
from pipelines.cli.main import main
from pipelines.cli.options import ModelOptions, WorkerOptions
from pipelines.cli.strategy_options import StrategyOptions
from pipelines.stages.decoding.client import Decoder
from pipelines.timelines.strategies.base import STRATEGIES
from tests.support.rows import rows_of
from videollm.errors import UserError
from videollm.shapes.long import LongConfig, write_long

TIMES = ("decode_seconds", "encode_seconds", "generate_seconds")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 4 minutes, also without its needle, and questions on it."""
    folder = tmp_path_factory.mktemp("long")
    write_long(folder, LongConfig(minutes=(4.0,), num_clips=1, controls=("removed",), seed=3))
    return folder


@pytest.fixture(scope="module")
def manifest(data: Path) -> Path:
    """The questions that are searched, as requests."""
    rows = [json.loads(line) for line in (data / "questions.jsonl").read_text().splitlines()]
    video = rows[0]["video"]
    kinds = {"shape": "localized", "exists": "exists", "when": "when", "order": "order", "count": "count"}
    asked = [
        {"id": row["id"], "video": video, "question": row["question"], "search_kind": kinds[row["kind"]]}
        for row in rows
        if row["video"] == video and row["kind"] in kinds
    ]
    path = data / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
    return path


Window = tuple[float | None, float | None, str]
"""Start and end in seconds, and the sampling."""


def answers(manifest: Path, output: Path, strategy: str = "mapreduce", **options: Any) -> dict[str, Any]:
    options.setdefault("workers", WorkerOptions(executor="local"))
    answer.main(
        AnswerOptions(inputs=(str(manifest),), output=output, search=StrategyOptions(strategy=strategy), **options)
    )
    return rows_of(output)


def settled(rows: dict[str, Any]) -> dict[str, Any]:
    """Rows without what differs from run to run: seconds, and the last digits of scores."""
    return {
        id: {
            name: [round(score, 2) for score in value] if name == "evidence_scores" else value
            for name, value in row.items()
            if name not in TIMES
        }
        for id, row in rows.items()
    }


@pytest.fixture(scope="module")
def run(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Window]]:
    """Rows of a job, and all that it decoded."""
    decoded: list[Window] = []
    one, many = Decoder.decode, Decoder.decode_windows

    def decode(self: Decoder, clip: Any, sampling: Any, *args: Any, **options: Any) -> Any:
        decoded.append((clip.start, clip.end, str(sampling)))
        return one(self, clip, sampling, *args, **options)

    def decode_windows(self: Decoder, clips: Any, sampling: Any, *args: Any, **options: Any) -> Any:
        decoded.extend((clip.start, clip.end, str(sampling)) for clip in clips)
        return many(self, clips, sampling, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder, "decode", decode)
        patch.setattr(Decoder, "decode_windows", decode_windows)
        return answers(manifest, tmp_path_factory.mktemp("undisturbed") / "out"), decoded


@pytest.fixture(scope="module")
def undisturbed(run: tuple[dict[str, Any], list[Window]]) -> dict[str, Any]:
    return run[0]


def test_needles_orders_numbers_and_times_are_found(data: Path, undisturbed: dict[str, Any]) -> None:
    truth = {
        row["id"]: row for line in (data / "questions.jsonl").read_text().splitlines() for row in [json.loads(line)]
    }
    for id, row in undisturbed.items():
        right = truth[id]
        assert row["status"] == "ok"
        assert row["strategy"] == "mapreduce"
        assert all(0 <= a < b <= 240 for a, b in zip(row["evidence_start"], row["evidence_end"], strict=True))
        if right["kind"] == "when":
            start, end = map(float, row["answer"].split(" - "))
            assert start < right["evidence"][0][1]
            assert end > right["evidence"][0][0]
        elif right["kind"] == "count":
            assert row["answer"] == str(len(right["evidence"]))
        else:
            assert right["answer"] in row["answer"].lower()
        if right["evidence"]:  # the best one lies where the answer shows
            spans = zip(row["evidence_start"], row["evidence_end"], strict=True)
            assert any(a < end and b > start for a, b in spans for start, end in right["evidence"])
        else:
            assert row["evidence_start"] == []
            assert row["note"] == "No part of the video shows what the question asks for."


def test_no_needle_no_evidence(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["eval", "longshapes", "--data", str(data), "--split", "removed", "-o", str(tmp_path / "run"),
          "--strategy", "mapreduce", "--executor", "local"])  # fmt: skip
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    (alarms,) = (m for m in scores["measures"] if m["metric"] == "false alarms an hour")
    assert alarms["over_all"]["mean"] == 0


def test_questions_share_their_windows(run: tuple[dict[str, Any], list[Window]]) -> None:
    rows, decoded = run
    first_round = [window for window in decoded if window[1] is not None and window[1] - (window[0] or 0) == 16]
    counts = Counter(first_round)
    assert len(counts) == 15
    looks = sum(row["num_looks"] for row in rows.values())
    assert looks > 5 * len(decoded)
    assert max(counts.values()) <= 2  # once for all, and once where a request itself is asked in its best window


@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_every_strategy_answers(strategy: str, manifest: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    rows = undisturbed if strategy == "mapreduce" else answers(manifest, tmp_path / "out", strategy)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {row["strategy"] for row in rows.values()} == {strategy}
    assert all(row["answer"] is not None for row in rows.values())
    again = answers(manifest, tmp_path / "again", strategy, workers=WorkerOptions(executor="local", num_decoders=1))
    assert settled(again) == settled(rows)


def test_a_killed_search_goes_on(manifest: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "pipelines.cli.main", "answer", str(manifest), "-o", "out", "--executor", "local",
               "--strategy", "mapreduce"]  # fmt: skip
    looks, rng, done = tmp_path / "out" / "looks.jsonl", random.Random(1), 0
    for _ in range(2):
        wanted = done + rng.randrange(5, 25)
        running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        while running.poll() is None and not (looks.exists() and looks.read_bytes().count(b"\n") >= wanted):
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
        done = looks.read_bytes().count(b"\n")
    with looks.open("ab") as file:
        file.write(b'{"id": "torn')
    assert settled(answers(manifest, tmp_path / "out")) == settled(undisturbed)
    asked = [json.loads(line) for line in looks.read_text().splitlines() if line.endswith("}")]
    counted = Counter(json.dumps([look["id"], look["look"]]) for look in asked)
    assert max(counted.values()) == 1, "nothing was asked twice"


def test_damaged_windows_make_a_partial_answer(data: Path, manifest: Path, tmp_path: Path) -> None:
    name = json.loads(manifest.read_text().splitlines()[0])["video"]
    content = bytearray((data / name).read_bytes())
    moov = content.rfind(b"moov")
    content[int(moov * 0.45) : int(moov * 0.55)] = bytes(int(moov * 0.55) - int(moov * 0.45))
    (tmp_path / name).write_bytes(content)
    row = {"id": "a", "video": name, "question": "Is anything orange?", "search_kind": "exists"}
    (tmp_path / "asked.jsonl").write_text(json.dumps(row) + "\n")
    (made,) = answers(tmp_path / "asked.jsonl", tmp_path / "out").values()
    assert made["status"] == "partial"
    assert "looks failed; the first: decode_error" in made["error"]
    assert made["answer"] in ("Yes", "No")


def test_there_is_no_answer_where_all_looks_failed(data: Path, manifest: Path, tmp_path: Path) -> None:
    name = json.loads(manifest.read_text().splitlines()[0])["video"]
    content = bytearray((data / name).read_bytes())
    content[5000 : content.rfind(b"moov") - 4] = bytes(content.rfind(b"moov") - 5004)
    (tmp_path / name).write_bytes(content)
    row = {"id": "a", "video": name, "question": "Is anything orange?", "search_kind": "exists", "start": 120}
    (tmp_path / "asked.jsonl").write_text(json.dumps(row) + "\n")
    (made,) = answers(tmp_path / "asked.jsonl", tmp_path / "out").values()
    assert (made["status"], made["answer"], made["note"]) == ("decode_error", None, None)


def test_looks_at_another_video_or_for_another_question_count_for_nothing(
    data: Path, manifest: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    answers(manifest, tmp_path / "out")
    looks = tmp_path / "out" / "looks.jsonl"
    lines = [json.loads(line) for line in looks.read_text().splitlines()]
    for number, line in enumerate(lines):  # all of them say no, and none of them is about what is asked now
        line["finding"]["scores"] = [-9.0, -9.0, 0.0, 0.0]
        if number % 2:
            line["finding"]["video_hash"] = "of another video"
        else:
            line["fingerprint"] = "of another question"
    looks.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for file in tmp_path.glob("out/part-*"):
        file.unlink()
    assert settled(answers(manifest, tmp_path / "out")) == settled(undisturbed)


def test_a_model_that_cannot_score_is_refused_before_anything_is_claimed(manifest: Path, tmp_path: Path) -> None:
    model = ModelOptions(model="openai:any", endpoint=type(ModelOptions().endpoint)(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(UserError, match="needs how likely answers are"):
        answers(manifest, tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()


def test_the_prompt_shows_where_the_evidence_lies(
    data: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = next(
        row for line in manifest.read_text().splitlines() if (row := json.loads(line))["search_kind"] == "when"
    )
    ask.main(
        AskOptions(
            video=str(data / asked["video"]), question=asked["question"], search=StrategyOptions(strategy="mapreduce")
        )
    )
    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert " - " in first
    assert second.startswith("  00:0")
    assert "looks," in last
    assert "--strategy mapreduce" in last


def test_a_dry_run_counts_looks(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers_options = AnswerOptions(
        inputs=(str(manifest),), output=tmp_path / "out", search=StrategyOptions(strategy="mapreduce"), dry_run=True
    )
    answer.main(answers_options)
    printed = capsys.readouterr().out
    number = len(manifest.read_text().splitlines())
    assert f"{number} questions on 1 videos by --strategy mapreduce" in printed
    assert f"{15 * (number + 1)} looks at 15 windows in the first round" in printed  # the order has two probes
    assert not (tmp_path / "out").exists()
