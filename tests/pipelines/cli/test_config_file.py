"""`--config FILE`: options from TOML or a run.json, under the flags."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from pipelines.cli.config_file import read_options, split_flag
from pipelines.cli.main import COMMANDS, main
from videollm.errors import UserError
from videollm.shapes.clips import ClipsConfig, write_clips

JOB = """
model = "tiny-resampler3d"
prompt = "What, if anything, moves?"
max_new_tokens = 7
[frames]
num-frames = 4
allow-partial = true
[workers]
executor = "local"
decode-timeout = 30
"""


def options_of(command: str) -> type:
    path, _, name = COMMANDS[command][0].partition(":")
    found: type = getattr(import_module(path), name)
    return found


def last_options(output: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((output / "run.json").read_text())["sessions"][-1]["options"]
    return found


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of a job that read JOB, and of its clips."""
    folder = tmp_path_factory.mktemp("config")
    write_clips(folder / "clips", ClipsConfig(num_clips=1))
    (folder / "job.toml").write_text(JOB)
    flags = ["--num-frames", "8", "--no-allow-partial", "--prompt", "What moves?"]
    main(["caption", str(folder / "clips"), "-o", str(folder / "out"), f"--config={folder / 'job.toml'}", *flags])
    return folder / "out", folder / "clips"


def test_flags_go_over_the_file_and_the_file_over_defaults(job: tuple[Path, Path]) -> None:
    options = last_options(job[0])
    assert options["model"]["model"] == "tiny-resampler3d"
    assert options["generation"]["max_new_tokens"] == 7
    assert options["workers"]["decode_timeout"] == 30.0
    assert (options["frames"]["num_frames"], options["frames"]["allow_partial"]) == (8, False)
    assert options["prompt"] == "What moves?"
    assert options["workers"]["clips_per_batch"] == 8


def test_a_run_json_gives_the_options_of_its_job(job: tuple[Path, Path], tmp_path: Path) -> None:
    output, _ = job
    main(["caption", "--config", str(output / "run.json"), "-o", str(tmp_path / "again")])
    assert last_options(tmp_path / "again") == {**last_options(output), "output": str(tmp_path / "again")}


def test_another_command_says_what_it_leaves_out(job: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    output, clips = job
    main(["ask", "--config", str(output / "run.json"), str(next(clips.glob("*.mp4"))), "What moves?"])
    printed = capsys.readouterr()
    assert "`ask` has no " in printed.err
    assert "clips_per_batch" in printed.err
    assert printed.out.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_file(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(SystemExit) as ended:
        main([command, "--config", str(tmp_path / "empty.toml"), "--help"])
    assert ended.value.code == 0
    assert "--config FILE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = 3", "gives model = 3; expected str"),
        ('num_frames = "many"', r"gives num_frames = 'many'; expected int \| None"),
        ('format = "csv"', "gives format = 'csv'; expected parquet or jsonl"),
        ("limit = true", "gives limit = True"),
        ("stop = [1]", r"gives stop = \[1\]"),
        ("num-frame = 3", "gives num_frame, which this command does not have; .*Did you mean num_frames"),
        ("[x", "is no TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_message(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_options(tmp_path / "job.toml", options_of("caption"))


def test_a_file_that_is_no_record_or_not_there(tmp_path: Path) -> None:
    for text in ('{"sessions": []}', "[]", '{"sessions": [{"options": ["caption"]}]}', '{"sessions": [{}]}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(UserError, match=r"is no run\.json of a job"):
            read_options(tmp_path / "run.json", options_of("caption"))
    with pytest.raises(UserError, match=r"gone\.toml cannot be read: No such file"):
        read_options(tmp_path / "gone.toml", options_of("caption"))


def test_the_flag_stands_once_and_names_a_file() -> None:
    assert split_flag(["-o", "x", "--config", "a.toml", "y"]) == (Path("a.toml"), ["-o", "x", "y"])
    assert split_flag(["y"]) == (None, ["y"])
    with pytest.raises(UserError, match="names no file"):
        split_flag(["--config"])
    with pytest.raises(UserError, match="2 times"):
        split_flag(["--config=a", "--config", "b"])
