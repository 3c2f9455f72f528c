import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.results.journal import Output, read_rows
from pipelines.results.schema import ResultRow
from videollm.errors import Status, UserError

FORMATS = ("parquet", "jsonl")


def row(i: int, status: str = "ok") -> ResultRow:
    return ResultRow(id=f"r{i}", answer=f"ü\n{i}", status=Status(status), frame_indices=(0, i), fingerprint="f")


def ids(folder: Path) -> list[str]:
    return [r["id"] for r in read_rows(folder)]


@pytest.mark.parametrize("format", FORMATS)
def test_rows_survive_reopening_and_become_shards(tmp_path: Path, format: Any) -> None:
    with Output(tmp_path, format, 4) as output:
        for i in range(6):
            output.append([row(i)])
    assert len(list(tmp_path.glob(f"part-*.{format}"))) == 1
    with Output(tmp_path, format, 4) as output:
        output.load()
        assert len(output.done) == 6
        output.append([row(6), row(7)])
        output.flush()
    assert sorted(ids(tmp_path)) == [f"r{i}" for i in range(8)]
    assert next(iter(read_rows(tmp_path))) == row(0).to_dict()


@pytest.mark.parametrize("format", FORMATS)
def test_a_torn_line_is_no_row(tmp_path: Path, format: Any) -> None:
    with Output(tmp_path, format, 100) as output:
        output.append([row(0), row(1)])
    journal = tmp_path / "_journal.jsonl"
    whole = journal.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 30):
        journal.write_bytes(whole[:cut])
        with Output(tmp_path, format, 100) as output:
            output.load()
            assert list(output.done) == ["r0"]
            output.append([row(1)])
        assert ids(tmp_path) == ["r0", "r1"]


def test_death_between_shard_and_journal_doubles_nothing(tmp_path: Path) -> None:
    with Output(tmp_path, "parquet", 100) as output:
        output.append([row(i) for i in range(5)])
        journal = (tmp_path / "_journal.jsonl").read_bytes()
        output.flush()
    (tmp_path / "_journal.jsonl").write_bytes(journal)
    (tmp_path / "part-00001.parquet.partial").write_bytes(b"half")
    assert len(ids(tmp_path)) == 5
    with Output(tmp_path, "parquet", 100) as output:
        output.load()
        output.flush()
    assert sum(pq.read_metadata(p).num_rows for p in tmp_path.glob("*.parquet")) == 5
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("format", FORMATS)
def test_dropped_errors_are_made_again_in_place(tmp_path: Path, format: Any) -> None:
    with Output(tmp_path, format, 3) as output:
        output.append([row(0), row(1, "timeout"), row(2)])
        output.append([row(3, "timeout")])
    with Output(tmp_path, format, 3) as output:
        output.load(drop_errors=True)
        assert sorted(output.done) == ["r0", "r2"]
        output.append([row(1)])
        output.append([row(3)])
    assert sorted(ids(tmp_path)) == ["r0", "r1", "r2", "r3"]
    assert {r["status"] for r in read_rows(tmp_path)} == {"ok"}


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Output(tmp_path, "parquet", 3), pytest.raises(UserError, match="Another job writes"):
        Output(tmp_path, "parquet", 3)
    with Output(tmp_path, "parquet", 3):
        pass


def test_unwritable_folder_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write to"):
        Output(tmp_path / "file", "parquet", 3)


FULL = """
import resource, sys
from pathlib import Path
from videollm.errors import UserError
from pipelines.results.journal import Output
from tests.pipelines.results.test_journal import row
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
with Output(Path(sys.argv[1]), "parquet", 1000) as output:
    output.load()
    try:
        for i in range(len(output.done), 1000):
            output.append([row(i)])
    except UserError as error:
        print(error)
        print(len(output.done))
"""


def test_full_disk_loses_and_doubles_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    """A limit on file size makes write() fail half-way, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    script = tmp_path / "full.py"
    script.write_text(FULL)
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out")],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    message, kept = run.stdout.splitlines()
    assert "make room" in message
    assert 0 < int(kept) < 1000
    assert (tmp_path / "out" / "_journal.jsonl").read_bytes().endswith(b"\n")
    with Output(tmp_path / "out", "parquet", 1000) as output:
        output.load()
        assert len(output.done) == int(kept)
        output.append([row(i) for i in range(int(kept), 1000)])
    assert ids(tmp_path / "out") == [f"r{i}" for i in range(1000)]
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == (soft, hard)


def fill(output: Output) -> None:
    for i in range(1000):
        output.append([row(i)])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_file_system_is_one_message(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        with Output(tmp_path, "parquet", 40) as output, pytest.raises(UserError, match="No space left") as full:
            fill(output)
        assert "same command" in str(full.value)
        with Output(tmp_path, "parquet", 40) as output:
            output.load()
            assert sorted(output.done) == sorted(ids(tmp_path))
            assert list(output.done) == [f"r{i}" for i in range(len(output.done))]
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_what_is_made_of_other_rows_is_dropped_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Output(tmp_path, "jsonl", 1) as output:
        output.append([row(0, "timeout")])
        output.append([row(1, "partial")])
    load, loaded = Output._load_shard, []

    def die(self: Output, shard: Path, drop_errors: bool) -> None:
        if loaded:
            raise KeyboardInterrupt
        loaded.append(shard)
        load(self, shard, drop_errors)

    monkeypatch.setattr(Output, "_load_shard", die)
    with pytest.raises(KeyboardInterrupt), Output(tmp_path, "jsonl", 1) as output:
        output.load(drop_errors=True)
    assert ids(tmp_path) == ["r0"]
