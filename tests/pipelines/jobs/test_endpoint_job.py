"""`videollm answer` with a model behind a real server on loopback that fails in many ways: one row a request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import main
from tests.support import clips
from tests.support.openai_server import Body, OpenAIServer, Say, question_of, refusal
from tests.support.paths import ROOT
from tests.support.rows import rows_of

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    made = [clips.write(folder / f"clip{i}.mp4", 30 + i) for i in range(4)]
    (folder / "damaged.mp4").write_bytes(b"not a video")
    return [*made, folder / "damaged.mp4"]


def manifest(folder: Path, videos: list[Path], questions: list[str]) -> Path:
    path = folder / "questions.jsonl"
    asked = [{"id": f"{v.stem} {q}", "video": str(v), "question": f"{q}, {v.stem}"} for v in videos for q in questions]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in asked))
    return path


def options(server: OpenAIServer, manifest: Path, output: Path, *more: str) -> list[str]:
    return ["answer", str(manifest), "-o", str(output), "--model", "openai:tiny", "--base-url", server.url,
            "--num-frames", "3", "--executor", "local", "--num-decoders", "1", "--tries", "3", *more]  # fmt: skip


def misbehave(body: Body, before: int) -> Say:
    if "max_tokens" in body:
        return refusal("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens")
    first = before < 2  # one of them said max_tokens, perhaps
    name = question_of(body).partition(",")[0]
    if name == "busy" and first:
        return Say(code=429, body={}, headers={"Retry-After": "0.1"})
    if name == "broken" and first:
        return Say(code=500, body=b"oops")
    if name == "cut" and first:
        return Say(cut=30)
    if name == "dropped" and first:
        return Say(drop=True)
    if name == "no json":
        return Say(body=b"<html>")
    if name == "refused":
        return refusal(f"not with {KEY}", code=403)
    if name == "filtered":
        return Say(text=None, finish_reason="content_filter")
    return Say(after_seconds=0.3 if name == "slow" else 0.0)


def understood(server: OpenAIServer) -> list[Body]:
    return [body for body in server.bodies if "max_tokens" not in body]


QUESTIONS = ["fine", "busy", "broken", "cut", "dropped", "slow", "no json", "refused", "filtered"]


def test_one_row_a_request(videos: list[Path], tmp_path: Path) -> None:
    with OpenAIServer(misbehave) as server:
        command = options(server, manifest(tmp_path, videos, QUESTIONS), tmp_path / "out")
        done = subprocess.run([sys.executable, "-m", "pipelines.cli.main", *command], cwd=ROOT, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        by_id = rows_of(tmp_path / "out")
        assert by_id.keys() == {f"{v.stem} {q}" for v in videos for q in QUESTIONS}
        for video in videos[:4]:
            for question in QUESTIONS:
                row = by_id[f"{video.stem} {question}"]
                good = question not in ("no json", "refused")
                assert row["status"] == ("ok" if good else "generate_error"), row["error"]
                assert server.answered[row["question"]] == (question != "refused")  # none is paid for twice
        assert {row["status"] for row in by_id.values() if row["id"].startswith("damaged")} == {"no_video"}
        fine, refused = by_id["clip0 fine"], by_id["clip0 refused"]
        assert fine["finish_reason"] == "stop"
        assert by_id["clip1 filtered"]["finish_reason"] == "content_filter"
        assert by_id["clip1 filtered"]["answer"] == ""
        assert fine["engine"] == "endpoint; model tiny-2026-01-01, fingerprint fp_1"
        assert fine["frames_sent"] == "3 images, JPEG quality 90, 4:4:4, 192 x 96"
        assert (fine["model"], fine["connector"], fine["num_visual_tokens"]) == ("openai:tiny", "none", None)
        assert (fine["num_prompt_tokens"], fine["num_generated_tokens"]) == (107, 3)
        assert len(fine["frame_indices"]) == 3
        assert "HTTP 403: not with [key]" in refused["error"]

        # The key is in no file and was not printed.
        written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert (tmp_path / "out" / "run.json") in written
        assert not [path for path in written if KEY.encode() in path.read_bytes()]
        assert KEY.encode() not in done.stdout + done.stderr

        # What is done is not asked again, unless for the rows that are not ok; other frames are another job.
        num_asked = len(understood(server))
        main(command)
        assert len(understood(server)) == num_asked
        main([*command, "--retry-errors", "--concurrency", "2"])
        assert len(understood(server)) == num_asked + 8
        with pytest.raises(SystemExit, match="2"):
            main([*command, "--max-side", "96"])


def test_the_video_itself(videos: list[Path], tmp_path: Path) -> None:
    with OpenAIServer(lambda body, before: Say()) as server:
        main(options(server, manifest(tmp_path, videos[:1], ["fine"]), tmp_path / "out", "--frames-as", "file"))
        (row,) = rows_of(tmp_path / "out").values()
    assert (row["status"], row["frames_sent"]) == ("ok", f"the file, {videos[0].stat().st_size} bytes")
    assert (row["frame_indices"], row["frame_height"]) == ([], None)
    assert server.bodies[0]["messages"][0]["content"][0]["video_url"]["url"].startswith("data:video/mp4;base64,")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--feature-cache", "cache"], "runs as a whole: --feature-cache cannot be applied"),
        (["--split-llm"], "--split-llm cannot be applied"),
        (["--gpus-per-llm", "1"], "--gpus-per-llm cannot be applied"),
        (["--connector", "stc"], "--connector cannot be applied"),
        (["--connector-weights", "w.safetensors"], "--connector-weights cannot be applied"),
        (["--engine", "vllm"], "not by --engine vllm"),
        (["--model", "tiny-stc"], "--base-url, --tries: for models behind a server"),
        (["--base-url", "here"], "--base-url is 'here', expected http"),
        (["--api-key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY (--api-key-env) is not set"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    videos: list[Path], tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with OpenAIServer(lambda body, before: Say()) as server:
        with pytest.raises(SystemExit, match="2"):
            main(options(server, manifest(tmp_path, videos[:1], ["fine"]), tmp_path / "out", *more))
        assert message in " ".join(capsys.readouterr().err.split())
        assert not server.bodies
    assert not (tmp_path / "out").exists()


def test_ask(videos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    def answer(body: Body, before: int) -> Say:
        return Say(text=f"{sum(part['type'] == 'image_url' for part in body['messages'][0]['content'])} pictures")

    with OpenAIServer(answer) as server:
        model: list[Any] = ["--model", "openai:tiny", "--base-url", server.url]
        main(["ask", str(videos[0]), "How many?", *model, "--num-frames", "5"])
        assert capsys.readouterr().out == "5 pictures\n"
        main(["ask", str(videos[0]), "How many?", *model, "--frames-as", "file"])
        assert capsys.readouterr().out == "0 pictures\n"


def test_training_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--model", "openai:tiny", "-o", str(tmp_path / "out"), "--steps", "1"])
    assert "openai:tiny" in capsys.readouterr().err
