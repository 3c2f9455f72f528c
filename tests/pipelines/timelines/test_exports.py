"""`videollm export`: every form holds what the rows hold, once, and nothing of the user's is overwritten."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.cli import caption, export
from pipelines.cli.caption import CaptionOptions
from pipelines.cli.export import ExportCommandOptions
from pipelines.results.journal import read_rows
from pipelines.results.schema import COLUMNS
from pipelines.timelines.exports import webdataset
from pipelines.timelines.exports.base import EXPORTS
from tests.support.split_rows import row, split_rows, write_output
from videollm.errors import UserError


@pytest.fixture
def videos(clips: Path, tmp_path: Path) -> Path:
    """A folder of three videos."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for i in range(3):
        shutil.copy(clips / f"clip{i}.mp4", folder / f"clip{i}.mp4")
    return folder


@pytest.fixture
def output(videos: Path, tmp_path: Path) -> Path:
    """Rows of the three videos, one of them split, one failed; and of a video that is gone."""
    rows = [
        *split_rows("a", str(videos / "clip0.mp4"), ["one", None, "three"], chapters=["x", "y"]),
        row("b", video=str(videos / "clip1.mp4"), answer="A clip."),
        row("c", video=str(videos / "clip2.mp4")),
        row("d", video=str(videos / "gone.mp4"), answer="Was there."),
    ]
    return write_output(tmp_path / "out", rows)


def run(output: Path, to: str, **options: Any) -> None:
    export.main(ExportCommandOptions(output=output, to=to, **options))


def samples(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
                file = tar.extractfile(member)
                assert file is not None
                assert member.name not in found
                found[member.name] = file.read()
    return found


def test_a_real_job_is_exported_in_every_form(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "captions"
    caption.main(CaptionOptions(inputs=(str(videos),), output=out))
    run(out, ",".join(EXPORTS.builtin), folder=tmp_path / "made")
    rows = {r["id"]: r for r in read_rows(out)}
    lines = map(json.loads, (tmp_path / "made" / "jsonl" / "rows.jsonl").read_text().splitlines())
    assert {line["id"]: line for line in lines} == rows
    assert len(rows) == 3
    assert len(list((tmp_path / "made" / "sidecar").rglob("clip?.txt"))) == 3
    assert len(samples(tmp_path / "made" / "webdataset")) == 9
    assert pq.read_table(tmp_path / "made" / "hf-dataset" / "metadata.parquet").num_rows == 3
    assert sorted(p.name for p in videos.iterdir()) == ["clip0.mp4", "clip1.mp4", "clip2.mp4"]


def test_errors_are_left_out_and_counted(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = output / "exports" / "jsonl" / "rows.jsonl"
    run(output, "jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["id"] for line in lines} == {"a", "a/s00000", "a/s00002", "a/c000", "a/c001", "b", "d"}
    assert all(list(line) == list(COLUMNS) for line in lines)
    assert "left out: 2 rows without an answer" in capsys.readouterr().out
    run(output, "jsonl", with_errors=True)
    assert len(path.read_text().splitlines()) == 9


def test_sidecars_lie_beside_their_videos(output: Path, videos: Path) -> None:
    run(output, "sidecar")
    assert (videos / "clip0.txt").read_text() == "All of it.\n"
    assert (videos / "clip1.txt").read_text() == "A clip.\n"
    assert not (videos / "clip2.txt").exists()
    found = json.loads((videos / "clip0.json").read_text())
    assert [r["id"] for r in found["rows"]] == ["a", "a/c000", "a/c001", "a/s00000", "a/s00002"]
    assert not (output / "exports" / "sidecar").exists()


def test_sidecars_overwrite_nothing_that_is_not_theirs(
    output: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "clip1.txt").write_text("mine")
    run(output, "sidecar")
    assert "left out: 1 videos beside which lie files that are not of this export" in capsys.readouterr().out
    assert (videos / "clip1.txt").read_text() == "mine"
    assert not (videos / "clip1.json").exists()
    (videos / "clip0.txt").write_text("All of it, mended by hand.\n")
    run(output, "sidecar")
    assert (videos / "clip0.txt").read_text() == "All of it, mended by hand.\n"
    run(output, "sidecar", overwrite=True)
    assert (videos / "clip1.txt").read_text() == "A clip.\n"
    assert (videos / "clip0.txt").read_text() == "All of it.\n"


def test_sidecars_of_their_own_are_brought_up_to_date(videos: Path, tmp_path: Path) -> None:
    rows = split_rows("a", str(videos / "clip0.mp4"), ["one", "two"])
    run(write_output(tmp_path / "out", rows[:2]), "sidecar")
    assert (videos / "clip0.txt").read_text() == "[00:00:00-00:00:10] one\n[00:00:10-00:00:20] two\n"
    inode = (videos / "clip0.json").stat().st_ino
    run(tmp_path / "out", "sidecar")
    assert (videos / "clip0.json").stat().st_ino == inode  # nothing changed
    before = (videos / "clip0.txt").read_bytes()
    write_output(tmp_path / "out", rows[2:])
    run(tmp_path / "out", "sidecar")
    assert (videos / "clip0.txt").read_text() == "All of it.\n"
    (videos / "clip0.txt").write_bytes(before)  # as after a crash between the two files
    run(tmp_path / "out", "sidecar")
    assert (videos / "clip0.txt").read_text() == "All of it.\n"


def test_videos_that_share_a_name_have_sidecars_of_their_own(videos: Path, tmp_path: Path) -> None:
    shutil.copy(videos / "clip0.mp4", videos / "clip0.mkv")
    rows = [row(f"r{s}", video=str(videos / f"clip0.{s}"), answer=s) for s in ("mp4", "mkv")]
    run(write_output(tmp_path / "out", rows), "sidecar")
    assert {p.name: p.read_text() for p in videos.glob("*.txt")} == {"clip0.mp4.txt": "mp4\n", "clip0.mkv.txt": "mkv\n"}


def test_sidecars_of_remote_videos_are_mirrored(tmp_path: Path) -> None:
    rows = [row("r", video="s3://bucket/../x/clip.mp4", answer="far")]
    run(write_output(tmp_path / "out", rows), "sidecar")
    assert (tmp_path / "out/exports/sidecar/s3/bucket/x/clip.mp4.txt").read_text() == "far\n"


def test_tars_are_bounded_and_the_same_every_time(output: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        run(output, "webdataset", folder=tmp_path / name, tar_megabytes=0.001)
    a, b = ({p.name: p.read_bytes() for p in (tmp_path / n / "webdataset").glob("*.tar")} for n in ("x", "y"))
    assert a == b
    assert sorted(a) == ["000000.tar", "000001.tar"]
    found = samples(tmp_path / "x" / "webdataset")
    assert len(found) == 6  # the video that failed and the one that is gone are in none
    key = next(name[: -len(".json")] for name in found if name.startswith("clip0-") and name.endswith(".json"))
    assert len(json.loads(found[f"{key}.json"])["rows"]) == 5
    assert found[f"{key}.txt"] == b"All of it.\n"
    assert found[f"{key}.mp4"]


def test_tars_go_on_where_they_ended(
    output: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = output / "exports" / "webdataset"
    written, add = [], webdataset._add

    def fail_at_the_second_video(tar: Any, name: str, *rest: Any) -> None:
        written.append(name)
        if sum(n.endswith(".mp4") for n in written) == 2:
            raise KeyboardInterrupt
        add(tar, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(webdataset, "_add", fail_at_the_second_video)
        with pytest.raises(KeyboardInterrupt):
            run(output, "webdataset", tar_megabytes=0.001)
    assert sorted(p.name for p in folder.iterdir()) == ["000000.tar", "index.json"]
    inode = (folder / "000000.tar").stat().st_ino
    run(output, "webdataset", tar_megabytes=0.001)
    assert (folder / "000000.tar").stat().st_ino == inode
    assert len(samples(folder)) == 6
    write_output(output, [row("e", video=str(videos / "clip2.mp4"), answer="New."),
                          row("f", video=str(videos / "clip1.mp4"), answer="More.", start=1.0)])  # fmt: skip
    capsys.readouterr()
    run(output, "webdataset", tar_megabytes=0.001)
    assert "left out: 1 videos whose rows changed since their tar was written" in capsys.readouterr().out
    assert len(samples(folder)) == 9
    run(output, "webdataset", overwrite=True)
    assert [p.name for p in folder.glob("*.tar")] == ["000000.tar"]
    assert len(samples(folder)) == 9


@pytest.mark.parametrize("copy", [False, True])
def test_a_folder_for_datasets(output: Path, copy: bool) -> None:
    for _ in range(2):
        run(output, "hf-dataset", copy=copy)
    folder = output / "exports" / "hf-dataset"
    lines = pq.read_table(folder / "metadata.parquet").to_pylist()
    assert {line["id"] for line in lines} == {"a", "a/s00000", "a/s00002", "a/c000", "a/c001", "b"}
    assert all((folder / line["file_name"]).is_file() for line in lines)
    assert all((folder / line["file_name"]).is_symlink() != copy for line in lines)
    assert len(list((folder / "videos").iterdir())) == 2
    (folder / "README.md").write_text("mine")
    run(output, "hf-dataset", copy=copy)
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.skipif(find_spec("datasets") is None, reason="datasets is not installed")
def test_datasets_loads_the_folder(output: Path, videos: Path, tmp_path: Path) -> None:
    shutil.copy(videos / "clip0.mp4", videos / "test_1.mp4")
    write_output(output, [row("t", video=str(videos / "test_1.mp4"), answer="No split of its own.")])
    run(output, "hf-dataset")
    code = (
        "import datasets, sys; d = datasets.load_dataset(sys.argv[1], split='train', cache_dir=sys.argv[2])\n"
        "assert isinstance(d.features['video'], datasets.Video), d.features\n"
        "d = d.cast_column('video', datasets.Video(decode=False)); print(sorted(d['id']), d[0]['video']['path'])"
    )
    command = [sys.executable, "-c", code, str(output / "exports" / "hf-dataset"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'a/s00000'" in done.stdout


def test_rows_that_name_no_video_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(write_output(tmp_path / "out", [row("bad")]), "webdataset,hf-dataset", with_errors=True)
    assert capsys.readouterr().out.count("left out: 1 rows that name no video") == 2


def test_what_cannot_be_is_refused_before_anything_is_written(output: Path, tmp_path: Path) -> None:
    for to, options, message in (
        ("jsonl,csv", {}, "Unknown export 'csv'"),
        ("jsonl", {"tar_megabytes": 0.0}, "--tar-megabytes is 0"),
    ):
        with pytest.raises(UserError, match=message):
            run(output, to, **options)
    with pytest.raises(UserError, match="Expected the output folder of a job"):
        run(tmp_path, "jsonl")
    assert not (output / "exports").exists()
