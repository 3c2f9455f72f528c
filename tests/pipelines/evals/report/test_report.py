"""What the page and the tables hold, without a browser."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.cli import main as cli
from pipelines.cli import report
from pipelines.evals.benchmark import Sample
from pipelines.evals.report.page import as_block
from pipelines.evals.report.runs import read_run
from pipelines.evals.report.thumbnails import PictureSpec, Strip, make_pictures
from pipelines.evals.report.view import make_view
from pipelines.evals.scores import ScoredRun, score_run
from videollm.errors import UserError
from videollm.types import Clip
from videollm.video.decoding.decode import decode
from videollm.video.sampling import Sampling


def strip(video: Path, num_frames: int = 8, **changes: object) -> Strip:
    sampling = Sampling(num_frames=num_frames)
    batch = decode(str(video), sampling)
    made = Strip(
        clip=Clip(video=str(video)),
        indices=batch.indices,
        seconds=batch.seconds,
        video_hash=batch.video_hash,
        sampling=vars(sampling),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_nothing_in_the_data_ends_its_block() -> None:
    value = ["</script><!--<script>", "a & b", "\u2028\u2029", "\ud800 alone", "日本 🎬", '"\\']
    block = as_block(value)
    assert not re.search("[<>&\u2028\u2029]", block)
    block.encode("utf-8")
    assert json.loads(block) == value
    with pytest.raises(ValueError, match="float"):
        as_block(float("nan"))


def test_pictures_are_of_the_frames_that_the_run_saw(clips: Path) -> None:
    video = clips / "000-00001.mp4"
    (made,) = make_pictures([strip(video, 16)], PictureSpec(per_clip=4, height=96, megabytes=5))
    assert made.places == (0, 5, 10, 15)
    assert made.video_seconds == pytest.approx(2.0, abs=0.1)
    frames = decode(str(video), Sampling(num_frames=16)).frames
    for place, jpeg in zip(made.places, made.jpegs, strict=True):
        (path := video.parent.parent / "picture.jpg").write_bytes(jpeg)
        shown = np.asarray(Image.open(path), np.float32)
        assert shown.shape == (96, 96, 3)
        errors = [abs(shown - frame).mean() for frame in frames]
        assert errors[place] < 6
        assert errors[place] <= min(errors) + 0.5


def test_a_short_clip_shows_each_frame_once(clips: Path) -> None:
    (made,) = make_pictures([strip(clips / "000-00001.mp4", 64)], PictureSpec(per_clip=8, height=32, megabytes=5))
    assert len(set(made.places)) == 8


def test_pictures_stay_below_their_bound(clips: Path) -> None:
    strips = [strip(v) for v in sorted(clips.glob("*.mp4"))]
    sizes = []
    for megabytes in (5, 0.03, 0.012, 0.004):
        made = make_pictures(strips, PictureSpec(per_clip=8, height=96, megabytes=megabytes))
        sizes.append(sum(len(j) * 4 / 3 for p in made for j in p.jpegs))
        assert sizes[-1] <= megabytes * 1e6
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] > 0
    (tiny, *_) = make_pictures(strips, PictureSpec(per_clip=8, height=96, megabytes=0.0001))
    assert "bytes a clip are too few" in (tiny.missing or "")
    assert "--thumbnail-megabytes 0" in (make_pictures(strips, PictureSpec(megabytes=0))[0].missing or "")


def test_a_video_that_is_gone_or_changed_says_so(clips: Path, tmp_path: Path) -> None:
    gone, broken, other = (tmp_path / f"{n}.mp4" for n in ("gone", "broken", "other"))
    for path in (gone, broken, other):
        shutil.copy(clips / "000-00001.mp4", path)
    strips = [strip(gone), strip(broken), strip(other, indices=tuple(range(8)))]
    reencoded = strip(other, video_hash="another")
    late = strip(other, seconds=tuple(s + 1 for s in strip(other).seconds))
    gone.unlink()
    broken.write_bytes(b"not a video")
    strips += [
        late,
        reencoded,
        strip(other, clip=Clip(video="s3://bucket/clip.mp4")),
        strip(other, sampling=None),
        strip(other),
    ]
    *bad, good = make_pictures(strips, PictureSpec(per_clip=2, height=32, megabytes=1))
    said = [
        "not_found",
        "no_video",
        "gives frames 2, 6, 10, 14, ... (8 frames) where",
        "other times",
        "content has changed",
        "fetches nothing",
        "how frames",
    ]
    for pictures, expected in zip(bad, said, strict=True):
        assert expected in (pictures.missing or "")
        assert pictures.jpegs == ()
    assert len(good.jpegs) == 2
    assert good.missing is None


def test_runs_share_strips_texts_and_questions(runs: tuple[Path, Path], samples: list[Sample]) -> None:
    one, two = make_view([read_run(runs[0])]), make_view([read_run(r) for r in runs])
    assert len(one.strips) == len(two.strips) == 6
    assert two.data["items"] == one.data["items"]
    assert two.data["items"]["count"] == len(samples)
    before, asked, after = (two.data["texts"][place] for place in two.data["answers"][0]["prompt"][0])
    assert (before, after) == ("<s>[INST] <video>\n", " [/INST]")
    assert asked.startswith(samples[0].question)
    assert two.data["differences"] == [("connector", ["stc", "resampler3d"])]


def test_rotations_name_the_option_where_it_first_stood(runs: tuple[Path, Path], samples: list[Sample]) -> None:
    scored = score_run(runs[0])
    answers = make_view([scored]).data["answers"][0]
    for i, item in enumerate(scored.items):
        circular = [
            answers["reading"][i] == "ABCD"[item.sample.answer],
            *(r["correct"] for r in answers["rotations"][i]),
        ]  # type: ignore[index]
        assert item.grade.strict["mean over rotations"] == sum(circular) / 4
        for rotation in answers["rotations"][i]:
            assert rotation["correct"] == (rotation["reading"] == "ABCD"[item.sample.answer])  # type: ignore[index]


def test_tables_hold_the_scores(page: Path, runs: tuple[Path, Path]) -> None:
    with page.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    markdown = page.with_suffix(".md").read_text()
    for folder in runs:
        run = score_run(folder)
        mine = [r for r in rows if r["run"] == folder.name]
        figures = [r for r in mine if r["grouping"] != "status"]
        assert [float(r["score"]) for r in figures] == pytest.approx([s.over_all.mean for s in run.scores], abs=1e-6)
        assert {r["group"]: int(r["questions"]) for r in mine if r["grouping"] == "status"} == run.statuses("plain")
        assert f"| {folder.name} | plain | accuracy | 60 | 6 | {100 * run.scores[0].over_all.mean:.1f} |" in markdown
    assert "### accuracy by duration" in markdown
    assert "<script>" not in markdown


def test_a_run_in_which_answers_are_missing(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    folder = tmp_path / "begun"
    shutil.copytree(runs[0], folder, ignore=shutil.ignore_patterns("part-*", "report*"))
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({k: v for k, v in record.items() if k != "finished"}))
    run = read_run(folder)
    assert isinstance(run, ScoredRun)
    data = make_view([run]).data
    assert data["runs"][0]["statuses"] == {"plain": {"missing": 60}}
    assert data["runs"][0]["finished"] is False
    assert data["answers"][0]["strip"] is None
    report.main(report.ReportOptions(runs=(folder,)))
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Got no runs"),
        (["{run}", "{run}/../a-stc"], "given twice"),
        (["{run}", "-o", "{tmp}/report.md"], "ends in .html"),
        (["{run}", "--thumbnail-megabytes", "-1"], "expected at least 0, 1 and 16"),
        (["{run}", "--thumbnails-per-clip", "0"], "expected at least 0, 1 and 16"),
        (["{tmp}"], "holds no rows"),
        (["{tmp}/nowhere"], "holds no rows"),
        (["{run}", "-o", "{tmp}/no/folder/r.html"], "No such file"),
    ],
)
def test_user_errors_are_one_message(
    arguments: list[str], said: str, tmp_path: Path, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["report", *(a.format(tmp=tmp_path, run=runs[0]) for a in arguments)])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    for parent in ("first", "second"):
        shutil.copytree(runs[0], tmp_path / parent / "out")
    data = make_view([read_run(tmp_path / p / "out") for p in ("first", "second")]).data
    assert [r["name"] for r in data["runs"]] == ["first/out", "second/out"]


def test_a_folder_without_rows_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no rows"):
        read_run(tmp_path)
