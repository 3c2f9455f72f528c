import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.cli import main as cli
from pipelines.cli.options import FrameOptions, ModelOptions, WorkerOptions
from pipelines.executors.ray_worker import StageWorker
from pipelines.executors.sizing import size_pools
from pipelines.jobs.resolve import resolve
from pipelines.stages.base import StageSpec
from pipelines.stages.batching import Attempts, trace_of
from pipelines.stages.model import Encode
from videollm.checkpoints import FAMILIES, load_with


def test_help_imports_nothing_heavy(environment: dict[str, str]) -> None:
    for arguments in ([], ["caption"], ["answer"], ["ask"], ["connectors"], ["models"]):
        code = (
            f"import sys; sys.argv = ['videollm', *{arguments!r}, '--help']\n"
            "try:\n    import pipelines.cli.main; pipelines.cli.main.main()\nexcept SystemExit: pass\n"
            "assert not {'torch', 'ray', 'transformers'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["describe"], "Unknown command 'describe'"),
        (["caption", "nowhere.mp4", "-o", "{tmp}/out"], "'nowhere.mp4' does not exist"),
        (["caption", "-o", "{tmp}/out"], "Got no inputs"),
        (["answer", "{clips}/clip0.mp4", "-o", "{tmp}/out"], "brings no question"),
        (["caption", "{clips}", "-o", "s3://bucket/out"], "expected a local folder"),
        (["ask", "{clips}/clip0.mp4", "What?", "--model", "no-such-model"], "No model 'no-such-model'"),
        (["ask", "{tmp}/nothing.mp4", "What?", "--model", "{model}"], "nothing.mp4"),
        (["ask", "{clips}/clip0.mp4", "What?", "--model", "{model}", "--num-frames", "0"], "num_frames is 0"),
        (["caption", "{clips}", "-o", "{clips}/clip0.mp4"], "Cannot write to"),
        (["connectors", "no_such_connector"], "Unknown connector"),
        (["caption", "{clips}", "-o", "{tmp}/out", "--temperature", "-1"], "temperature is -1.0; expected 0"),
        (["caption", "{clips}", "-o", "{tmp}/out", "--top-p", "2"], "top_p is 2.0; expected above 0"),
        (["caption", "{clips}", "-o", "{tmp}/out", "--clips-per-batch", "0"], "--clips-per-batch is 0, expected"),
        (["caption", "{clips}", "-o", "{tmp}/out", "--num-decoders", "0"], "--num-decoders is 0, expected"),
        (["caption", "{clips}", "-o", "{tmp}/out", "--gpus-per-llm", "-1"], "--gpus-per-llm is -1.0, expected"),
        (["caption", "{clips}", "-o", "{tmp}/out", "--decode-timeout", "nan"], "--decode-timeout is nan, expected"),
        (["caption", "{clips}", "-o", "{tmp}/out", "--rows-per-shard", "0"], "--rows-per-shard is 0, expected"),
    ],
)
def test_user_errors_are_one_message(
    arguments: list[str], said: str, tmp_path: Path, clips: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([a.format(tmp=tmp_path, clips=clips, model=model) for a in arguments])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert message.splitlines()[-1].startswith("videollm: ")
    assert said in message
    assert not (tmp_path / "out").exists()


def test_bad_options_are_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["caption", "x", "-o", "y", "--num-frames", "many"])
    assert stopped.value.code == 2
    assert "num-frames" in capsys.readouterr().err


def test_ask_prints_the_answer(clips: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    import videollm
    from videollm.types import Generation

    cli.main(["ask", str(clips / "clip0.mp4"), "What?", "--model", model, "--max-new-tokens", "4"])
    printed = capsys.readouterr()
    expected = videollm.load(model).answer(clips / "clip0.mp4", "What?", generation=Generation(max_new_tokens=4))
    assert printed.out == expected.text + "\n"
    assert "knows coloured shapes only" in printed.err


def test_models_are_listed_with_their_cost(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["models"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*FAMILIES.builtin, "Qwen/Qwen2.5-VL-7B-Instruct", "tiny-stc"))
    cli.main(["models", "tiny-stc", "tiny-resampler3d", "--seconds", "10", "3600", "--height", "360", "--width", "640"])
    counted = capsys.readouterr().out
    assert re.search(r"3600 s +8 +36 ", counted)
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main(["models", "tiny-stc", "--seconds", "0"])
    assert "above 0" in capsys.readouterr().err


def test_connectors_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["connectors"])
    printed = capsys.readouterr().out
    for name in ("stc", "resampler3d", "mlp"):
        assert f"\n{name} " in printed
    assert "depth: int = 4" in printed


def test_dry_run_writes_nothing(tmp_path: Path, clips: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.mp4").touch()
    rows = [{"video": str(v), "question": q} for v in [*sorted(clips.iterdir()), "broken.mp4"] for q in "ab"]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*rows, {"video": "x"}]))
    cli.main(["answer", str(tmp_path / "m.jsonl"), "-o", str(tmp_path / "out"), "--model", model, "--dry-run",
              "--max-new-tokens", "4"])  # fmt: skip
    printed = capsys.readouterr().out
    assert "19 requests on 9 clips of 9 videos; 1 rows are no requests" in printed
    assert "hours of video" in printed
    assert "8 h264 64x64" in printed
    assert "not readable: 1 no_video" in printed
    assert "72 frames, " in printed
    assert "about " in printed
    assert not (tmp_path / "out").exists()


def test_a_models_folder_says_what_loading_it_says(model: str) -> None:
    frames = FrameOptions(num_frames=4, sampling="linspace").choice()
    options = ModelOptions(model=model).load_options()
    loaded, seen = load_with(options).describe(), resolve(options, frames).info
    assert frames.override(seen.sampling) == frames.override(loaded.sampling)
    assert (seen.name, seen.connector, seen.sampling, seen.frame_size, seen.notice) == (
        loaded.name, loaded.connector, loaded.sampling, loaded.frame_size, loaded.notice)  # fmt: skip


def test_a_model_travels_to_workers_that_do_not_see_it(model: str) -> None:
    import numpy as np

    folder, options = Path(model), ModelOptions(model="/nowhere/model").load_options()
    worker = StageWorker(StageSpec(stage=Encode, config=Encode.Config(model=options), folder=Path(options.name)))
    files = [np.fromfile(f, np.uint8) for f in folder.iterdir()]
    found, error = worker.setup("digest", [f.name for f in folder.iterdir()], *files)
    assert error is None
    assert found.name == "/nowhere/model"


def test_sizes_leave_room_for_each_other() -> None:
    def of(num_cpus: int, num_gpus: float = 0, **options: object) -> tuple[int, int, int, float, int | None]:
        workers = WorkerOptions(**options).workers()  # type: ignore[arg-type]
        s = size_pools(workers.sizes, device="auto", num_cpus=num_cpus, num_gpus=num_gpus,
                       on_cluster=workers.address is not None)  # fmt: skip
        return s.num_decoders, s.num_encoders, s.num_llms, s.gpus_per_llm, s.num_threads

    assert of(1) == (1, 0, 1, 0, 1)
    assert of(2) == (2, 0, 1, 0, 1)
    assert of(16) == (16, 0, 1, 0, 8)
    cluster = {"address": "auto"}
    assert of(16, **cluster) == (8, 0, 1, 0, 8)
    assert of(16, 2, **cluster) == (14, 0, 2, 1, None)
    assert of(16, 4, split_llm=True, **cluster) == (12, 1, 3, 1, None)
    assert of(16, 1, split_llm=True, gpus_per_llm=0.5, gpus_per_encoder=0.5, **cluster) == (14, 1, 1, 0.5, None)
    assert of(4, num_decoders=7)[0] == 7


def test_a_bug_is_called_one_and_its_trace_is_kept(
    tmp_path: Path, clips: Path, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is a ValueError, which once looked like the user's mistake."""

    def broken(*_: object) -> None:
        raise ValueError("a bug of ours")

    places = []
    for module, arguments in (
        ("pipelines.jobs.run.resolve_job", ["-o", str(tmp_path / "early")]),
        ("pipelines.jobs.run.execute", ["-o", str(tmp_path / "late")]),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, broken)
            with pytest.raises(SystemExit) as stopped:
                cli.main(["caption", str(clips), "--model", model, *arguments])
        assert stopped.value.code == 1
        first, second = capsys.readouterr().err.splitlines()[-2:]
        assert first == "videollm: internal error: ValueError: a bug of ours"
        places.append(Path(second.removeprefix("The trace is in ").partition("; ")[0]))
        assert "in broken" in places[-1].read_text()
    assert not (tmp_path / "early").exists()
    assert places[1].is_relative_to(tmp_path / "late" / "logs")
    places[0].unlink()
    places[0].parent.rmdir()


def test_a_bad_item_fails_alone() -> None:
    calls = []

    def halve(items: Sequence[int]) -> list[int]:
        calls.append([*items])
        if any(i % 2 for i in items):
            raise ValueError("odd")
        return [i // 2 for i in items]

    def attempt(items: Sequence[int]) -> list[int | Exception]:
        attempts: Attempts[int, int] = Attempts(items)
        for some in attempts:
            with attempts:
                attempts.add(halve(some))
        return attempts.outcomes

    made = attempt([2, 3, 4])
    assert (made[0], made[2]) == (1, 2)
    assert isinstance(made[1], ValueError)
    assert made[1].__traceback__ is None
    assert "in halve" in trace_of(made[1])
    assert attempt([]) == []
    assert attempt([2, 4]) == [1, 2]
    assert calls == [[2, 3, 4], [2], [3], [4], [2, 4]]


def test_help_lists_the_commands(environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pipelines.cli.main", "--help"], env=environment, capture_output=True)
    assert done.returncode == 0
    assert b"caption" in done.stdout


def test_a_reader_that_goes_away_is_no_bug(environment: dict[str, str]) -> None:
    """The pipe is closed before the command writes to it."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "pipelines.cli.main", "caption", "--help"]
    done = subprocess.run(command, env=environment, stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_pipe_that_breaks_is_a_bug(environment: dict[str, str]) -> None:
    code = (
        "from pipelines.cli import main\n"
        "def broken(*arguments): raise BrokenPipeError(32, 'Broken pipe')\n"
        "main._run = broken\n"
        "main.main(['caption'])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "internal error: BrokenPipeError" in done.stderr
