"""What a job says of itself while it runs, and where it says it: logs, status.json, token counts, the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import caption
from pipelines.cli.options import GenerationOptions, ModelOptions, WorkerOptions
from pipelines.jobs import progress
from pipelines.jobs.progress import describe_limit
from pipelines.results.journal import read_rows
from pipelines.results.schema import COLUMNS, ResultRow, arrow_schema, column_descriptions, status_descriptions
from pipelines.stages.decode import Decode
from videollm.errors import Status


def run(clips: Path, output: Path, model: str, **options: Any) -> None:
    generation = GenerationOptions(max_new_tokens=5)
    inputs = tuple(str(clips / f"clip{i}.mp4") for i in range(6))
    caption.main(
        caption.CaptionOptions(
            inputs=inputs, output=output, model=ModelOptions(model=model), generation=generation, **options
        )
    )


def log_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in (output / "logs").glob("*.jsonl") for line in file.read_text().splitlines()]


@pytest.mark.parametrize("executor", ["local", "ray_actors"])
def test_calls_are_logged_and_counted(
    executor: str,
    tmp_path: Path,
    clips: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "STATUS_SECONDS", 0.01)
    run(clips, tmp_path, model, workers=WorkerOptions(executor=executor))
    calls = [line for line in log_of(tmp_path) if line["message"] == "stage call"]
    for stage in ("Decode", "EncodeAnswer"):
        assert sum(call["num_items"] for call in calls if call["stage"] == stage) == 6
    assert all(call["seconds"] >= 0 and call["worker"] for call in calls)
    rows = list(read_rows(tmp_path))
    for row in rows:
        assert 0 < row["num_generated_tokens"] <= 5
        assert row["num_prompt_tokens"] > row["num_visual_tokens"] > 0
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["clips"], status["clips_total"]) == ("finished", 6, 6)
    assert status["rows"] == {"ok": 6}
    generated = sum(row["num_generated_tokens"] for row in rows)
    assert status["tokens"]["num_generated_tokens"] == generated
    assert status["busy"].keys() == {"Decode", "EncodeAnswer"}
    session = json.loads((tmp_path / "run.json").read_text())["sessions"][-1]
    assert (session["executor"], session["ended"]) == (executor, "finished")
    assert session["num_generated_tokens"] == generated
    printed = capsys.readouterr().out
    assert f"{generated:,} generated" in printed
    assert "limit" in printed


def test_a_bug_of_ours_is_an_internal_error_with_its_trace_in_the_log(
    tmp_path: Path, clips: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = Decode._decode_all

    def broken(self: Decode, items: Any) -> Any:
        return {}["nothing"] if items[0].task.clip.video.endswith("clip3.mp4") else decode(self, items)

    monkeypatch.setattr(Decode, "_decode_all", broken)
    run(clips, tmp_path, model, workers=WorkerOptions(executor="local"))
    rows = {Path(row["video"]).name: row for row in read_rows(tmp_path)}
    bad = rows.pop("clip3.mp4")
    assert (bad["status"], bad["error"]) == ("internal_error", "KeyError: 'nothing'")
    assert {row["status"] for row in rows.values()} == {"ok"}
    (line,) = [line for line in log_of(tmp_path) if line["level"] == "error"]
    assert line["rows"] == [{"id": bad["id"], "status": "internal_error", "error": bad["error"]}]
    assert "in broken" in line["trace"]


def test_a_bug_that_ends_the_job_is_in_the_log(
    tmp_path: Path, clips: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.jobs.run.execute", lambda *_: {}["nothing"])
    with pytest.raises(KeyError) as raised:
        run(clips, tmp_path, model)
    (line,) = [line for line in log_of(tmp_path) if line["level"] == "error"]
    assert "KeyError: 'nothing'" in line["trace"]
    assert raised.value.trace_file.is_relative_to(tmp_path)  # type: ignore[attr-defined]


def test_the_level_of_the_log_is_the_users(tmp_path: Path, clips: Path, model: str) -> None:
    run(clips, tmp_path, model, log_level="warning", workers=WorkerOptions(executor="local"))
    assert log_of(tmp_path) == []


def test_the_summary_says_what_limits_a_job() -> None:
    assert describe_limit({"Decode": 0.93, "EncodeAnswer": 0.41}).startswith("Decode limits")
    assert describe_limit({"Decode": 0.1, "EncodeAnswer": 0.97}).startswith("EncodeAnswer limits")
    assert describe_limit({"Decode": 0.1, "EncodeAnswer": 0.2}).startswith("Starting and waiting limit")


def test_columns_and_statuses_follow_from_their_classes() -> None:
    assert list(COLUMNS) == list(ResultRow.__dataclass_fields__) == arrow_schema().names
    assert column_descriptions().keys() == COLUMNS.keys()
    assert all(column_descriptions().values())
    assert status_descriptions().keys() == {str(status) for status in Status}
    row = ResultRow(id="1", status=Status.TIMEOUT, fingerprint="f", frame_indices=(1, 2))
    assert row.to_dict().keys() == COLUMNS.keys()
    assert json.loads(json.dumps(row.to_dict())) == row.to_dict()
