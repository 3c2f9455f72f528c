"""Captions of a real job, scored by the timelines of its videos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli import score
from pipelines.cli.main import main
from tests.support.rows import rows_of
from videollm.errors import UserError
from videollm.shapes.long import LongConfig, write_long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos in `long`, and captions of their shots in `shots`."""
    folder = tmp_path_factory.mktemp("timed")
    write_long(folder / "long", LongConfig(minutes=(1.0,), num_clips=2, controls=()))
    main(["caption", str(folder / "long"), "-o", str(folder / "shots"), "--split", "shots", "--executor", "local"])
    return folder


def test_captions_of_shots_name_what_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timelines = folder / "long" / "timeline.json"
    segments = [row for row in rows_of(folder / "shots").values() if row["level"] == "segment"]
    # counted another way: events whose name stands in the caption of the segment that shows their middle
    shares = []
    for name, video in json.loads(timelines.read_text()).items():
        told = sum(
            event["name"] in row["answer"].lower()
            for event in video["events"]
            for row in segments
            if row["video"].endswith(name) and row["start"] <= (event["start"] + event["end"]) / 2 < row["end"]
        )
        shares.append(told / len(video["events"]))
    main(["score", str(folder / "shots"), "--timelines", str(timelines)])
    printed = capsys.readouterr().out
    assert f"{len(segments)} captions of parts of 2 videos\n" in printed
    found = {line.split()[0]: float(line.split()[1]) for line in printed.splitlines()[3:] if line}
    assert found["named"] == round(100 * sum(shares) / 2, 1) > 80
    assert found["F1@0.9"] > 80
    assert list(found) == ["named", "F1@0.3", "F1@0.5", "F1@0.7", "F1@0.9", "repeats"]


def test_what_cannot_be_scored(folder: Path, tmp_path: Path) -> None:
    for text in ("{}", '{"other.mp4": {"events": [{"start": 0, "end": 4, "name": "red circle"}]}}'):
        (tmp_path / "timeline.json").write_text(text)
        with pytest.raises(UserError, match=r"captions of 000-1m-00000\.mp4, .*expected a video of both"):
            score.main(score.ScoreOptions(output=folder / "shots", timelines=tmp_path / "timeline.json"))
    (tmp_path / "timeline.json").write_text("[1]")
    with pytest.raises(UserError, match=r"expected the timeline\.json"):
        score.main(score.ScoreOptions(output=folder / "shots", timelines=tmp_path / "timeline.json"))
    with pytest.raises(UserError, match="--judge reads answers"):
        score.main(score.ScoreOptions(output=folder / "shots", timelines=tmp_path / "timeline.json", judge="folder"))
