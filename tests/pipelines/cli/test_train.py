"""Training through the command's own entry: it learns, resumes to the same weights, and refuses what it cannot do."""

import json
from pathlib import Path

import pytest
import torch

import videollm
from pipelines.cli.train import TrainOptions, main
from videollm.errors import VideoError
from videollm.shapes.clips import ClipsConfig, write_clips
from videollm.training.objectives.answers import AnswerObjective

SMALL = {"batch_size": 2, "num_frames": (4,), "log_every": 1, "num_threads": 1}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(videollm.load(folder).state_dict())


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model from scratch, its tower taught for two steps."""
    folder = tmp_path_factory.mktemp("start")
    main(TrainOptions(output=str(folder), model="scratch", train=("vision",), objective="patches", steps=2, **SMALL))
    return folder


def test_only_the_named_parts_learn(start: Path, tmp_path: Path) -> None:
    main(TrainOptions(output=str(tmp_path), model=str(start), train=("connector",), steps=2, **SMALL))
    before, after = weights(start), weights(tmp_path)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"connector"}


def test_loss_falls(start: Path, tmp_path: Path) -> None:
    main(TrainOptions(output=str(tmp_path), model=str(start), train=("connector", "llm"), steps=30, **SMALL))
    losses = [json.loads(line)["loss"] for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_a_stopped_run_goes_on_to_the_same_weights(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"model": str(start), "train": ("connector", "llm"), "steps": 6, "save_every": 3, **SMALL}
    main(TrainOptions(output=str(tmp_path / "whole"), **job))
    calls = []

    def stopped(*args: object) -> object:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*args)

    real = AnswerObjective.loss
    monkeypatch.setattr(AnswerObjective, "loss", stopped)
    with pytest.raises(KeyboardInterrupt):
        main(TrainOptions(output=str(tmp_path / "stopped"), **job))
    monkeypatch.setattr(AnswerObjective, "loss", real)
    main(TrainOptions(output=str(tmp_path / "stopped"), **job))
    whole, stopped_weights = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[k], stopped_weights[k]) for k in whole)


def test_other_settings_in_the_same_folder_are_refused(start: Path) -> None:
    with pytest.raises(ValueError, match=r"seed: 0 -> 1.*another output"):
        main(
            TrainOptions(
                output=str(start), model="scratch", train=("vision",), objective="patches", steps=2, seed=1, **SMALL
            )
        )


def test_a_users_connector_learns_from_a_manifest(start: Path, tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", ClipsConfig(num_clips=2, seconds=0.5, size=64))
    main(
        TrainOptions(
            output=str(tmp_path / "out"),
            data=str(tmp_path / "clips" / "lessons.jsonl"),
            model=str(start),
            connector="examples.changed_patches:ChangedPatches",
            steps=2,
            batch_size=2,
            num_threads=1,
        )
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["connector"]["name"] == "examples.changed_patches:ChangedPatches"


def test_a_broken_video_is_one_clear_error(start: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "data.jsonl").write_text('{"video": "broken.mp4", "question": "What?", "answer": "That."}')
    with pytest.raises(VideoError, match=r"broken\.mp4: not a readable video"):
        main(TrainOptions(output=str(tmp_path / "out"), data=str(tmp_path / "data.jsonl"), model=str(start), steps=1))


def test_a_damaged_state_is_one_clear_error(start: Path, tmp_path: Path) -> None:
    (tmp_path / "training.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="is damaged"):
        main(TrainOptions(output=str(tmp_path), model=str(start), steps=1, **SMALL))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train": ()}, "train got nothing"),
        ({"data": "a.txt"}, "--data got 'a.txt'"),
        ({"stories": ("war",)}, "stories got war"),
        ({"objective": "patches"}, "--train vision"),
        ({"connector_config": ("depth",)}, "expected k=v"),
        ({"model": "no-such"}, "No model 'no-such'"),
    ],
)
def test_wrong_settings_say_what_is_expected(
    start: Path, tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        main(TrainOptions(output=str(tmp_path), **{"model": str(start), "steps": 1, **SMALL, **wrong}))
