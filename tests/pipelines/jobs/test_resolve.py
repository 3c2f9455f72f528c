"""What a job checks before it writes or starts anything."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import caption
from pipelines.cli import main as cli
from pipelines.cli.options import CacheOptions, FrameOptions, GenerationOptions, ModelOptions, WorkerOptions
from pipelines.jobs.resolve import identify
from pipelines.results.journal import read_rows
from videollm.checkpoints import Options
from videollm.errors import UserError

SHORT = GenerationOptions(max_new_tokens=4)


def test_other_weights_are_another_identity(model: str, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "trained")
    file = tmp_path / "trained" / "model.safetensors"
    given = [Options(name="tiny-stc", connector="mlp", connector_weights=place) for place in (file, file.parent)]
    before = [identify(options) for options in given]
    assert all("model.safetensors" in found["connector_weights"] for found in before)
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert all(identify(options) != found for options, found in zip(given, before, strict=True))
    assert identify(Options(name=str(file.parent))) != identify(Options(name=model))


WRONG = [
    (["--connector", "stc", "--connector-config", "depht=2"], "depht"),
    (["--connector", "stc", "--connector-config", "depth=two"], "depth"),
    (["--connector", "no_such_connector"], "no_such_connector"),
    (["--connector", "no.such:Connector"], "no.such"),
    (["--connector", "mlp", "--connector-weights", "{tmp}/nothing.safetensors"], "nothing.safetensors"),
    (["--model", "tny-stc"], "No model 'tny-stc'"),
    (["--model", "{tmp}"], "config.json"),
    (["--engine", "vlm"], "vlm"),
    (["--device", "gpu"], "--device is 'gpu'"),
    (["--num-frames", "0"], "num_frames is 0"),
    (["--sampling", "lniear"], "Unknown sampling policy 'lniear'"),
    (["--sampling", "every", "--sampling-config", "seconds=2"], "every has no seconds; expected one of num_frames"),
    (["--sampling-config", "num_frames=2"], "expected k=v, and --sampling"),
    (["--choose-fps", "2"], "segment_centers has no choose_fps; expected one of num_frames"),
    (["--decoder", "pyva"], "Unknown decoder 'pyva'"),
    (["--decoder", "nvdec"], "Add --executor local"),
    (["--decoder", "nvdec", "--executor", "local"], "--decoder nvdec"),
    (["--executor", "rayy"], "rayy"),
    (["--executor", "local", "--address", "auto"], "--address"),
    (["--feature-cache", "{tmp}/file/cache"], "cannot be written"),
]


@pytest.mark.parametrize("command", ["run", "dry run"])
@pytest.mark.parametrize(("options", "said"), WRONG, ids=[" ".join(o) for o, _ in WRONG])
def test_a_typo_leaves_no_trace(
    options: list[str],
    said: str,
    command: str,
    tmp_path: Path,
    clips: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    arguments = ["caption", str(clips), "-o", str(tmp_path / "out"), "--model", model]
    arguments += [o.format(tmp=tmp_path) for o in options] + ["--dry-run"] * (command == "dry run")
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_folder_says_is_resolved_without_torch_and_ray(
    tmp_path: Path, clips: Path, model: str, environment: dict[str, str]
) -> None:
    code = f"""
import sys
from pathlib import Path
from pipelines.cli.caption import CaptionOptions
from pipelines.cli.options import ModelOptions
from pipelines.jobs.resolve import resolve_job
model = ModelOptions(model={model!r})
job = CaptionOptions(inputs=({str(clips)!r},), output=Path({str(tmp_path / "out")!r}), model=model)
found = resolve_job(job.batch_job({{}}))
assert found.model.info.connector == "stc"
assert not {{"torch", "ray", "transformers"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not (tmp_path / "out").exists()


def job(clips: Path, output: Path, model: str | ModelOptions, **options: Any) -> caption.CaptionOptions:
    asked = ModelOptions(model=model) if isinstance(model, str) else model
    return caption.CaptionOptions(
        inputs=(str(clips),), output=output, model=asked, generation=SHORT, limit=2, **options
    )


def test_a_configuration_without_rows_is_taken_over(
    tmp_path: Path, clips: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise UserError("stopped before the first row")

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.jobs.run.execute", stop)
        with pytest.raises(UserError, match="before the first row"):
            caption.main(job(clips, tmp_path, model, frames=FrameOptions(num_frames=2)))
    first = json.loads((tmp_path / "run.json").read_text())
    assert first["config"]["num_frames"] == 2
    assert first["sessions"][-1]["ended"] == "UserError"
    caption.main(job(clips, tmp_path, model))
    taken = json.loads((tmp_path / "run.json").read_text())
    assert (taken["config"]["num_frames"], len(taken["sessions"])) == (None, 1)
    assert [row["status"] for row in read_rows(tmp_path)] == ["ok"] * 2
    with pytest.raises(UserError, match="num_frames"):
        caption.main(job(clips, tmp_path, model, frames=FrameOptions(num_frames=2)))
    (tmp_path / "run.json").write_text("{")  # rows are there, and nobody knows what they are of
    with pytest.raises(UserError, match="not JSON"):
        caption.main(job(clips, tmp_path, model))


def test_the_feature_cache_is_made_with_the_output_not_before(tmp_path: Path, clips: Path, model: str) -> None:
    cache = CacheOptions(feature_cache=str(tmp_path / "cache"))
    wrong = ModelOptions(model=model, connector="no_such")
    with pytest.raises(UserError, match="no_such"):
        caption.main(job(clips, tmp_path / "out", wrong, cache=cache))
    assert not (tmp_path / "cache").exists()


def test_auto_takes_this_process_for_small_jobs_only(tmp_path: Path, clips: Path, model: str) -> None:
    from pipelines.jobs.plan import MAX_LOCAL_CLIPS, Plan
    from pipelines.jobs.resolve import resolve_job

    def name(num_clips: int = 10, *, interrupted: bool = False, **options: Any) -> str:
        told = job(clips, tmp_path, model, workers=WorkerOptions(**options))
        plan = Plan(resolved=resolve_job(told.batch_job({})), requests=[])
        return plan.executor_name(num_clips, interrupted=interrupted)

    assert name() == "local"
    assert name(MAX_LOCAL_CLIPS + 1) == "ray_actors"
    assert name(interrupted=True) == "ray_actors"
    assert name(address="auto") == "ray_actors"
    assert name(split_llm=True) == name(num_llms=2) == "ray_actors"
    assert name(MAX_LOCAL_CLIPS + 1, executor="local") == "local"
    assert name(executor="ray_actors") == "ray_actors"
