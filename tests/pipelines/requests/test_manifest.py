import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.requests.manifest import group, read
from pipelines.requests.types import BadRequest, JobRequest
from videollm.errors import UserError
from videollm.types import Clip


def jsonl(path: Path, *rows: object) -> str:
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows))
    return str(path)


def read_one(path: Path, **row: object) -> JobRequest | BadRequest:
    (request,) = read([jsonl(path / "m.jsonl", row)], default_question=None)
    return request


def test_formats_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"video": "a.mp4", "question": "What, then?", "start": 1.5, "end": 2.0, "options": ["x", "y"], "id": "1"},
        {"video": "ü 動画.mp4", "question": 'He said "no"', "start": None, "end": None, "options": None, "id": "2"},
    ]
    jsonl(tmp_path / "m.jsonl", *rows)
    (tmp_path / "m.csv").write_text(
        '\ufeffvideo,question,start,end,options,id\na.mp4,"What, then?",1.5,2.0,x|y,1\n'
        'ü 動画.mp4,"He said ""no""",,,,2\n',
        encoding="utf-8",
    )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    made = [read([str(tmp_path / f"m.{kind}")], default_question=None) for kind in ("jsonl", "csv", "parquet")]
    assert made[0] == made[1] == made[2]
    first = made[0][0]
    assert isinstance(first, JobRequest)
    assert first.clip == Clip(video=f"{tmp_path}/a.mp4", start=1.5, end=2.0)
    assert first.options == ("x", "y")
    assert first.video == "a.mp4"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"question": "q"}, "no video"),
        ({"video": "a.mp4"}, "no question"),
        ({"video": "a.mp4", "question": "q", "start": 2, "end": 1}, "start is 2 s and end is 1 s"),
        ({"video": "a.mp4", "question": "q", "start": "soon"}, "start is 'soon', expected seconds"),
        ({"video": "a.mp4", "question": "q", "start": -1}, "start is '-1'"),
        ({"video": "a.mp4", "question": "q", "end": float("nan")}, "end is 'nan'"),
        ({"video": 7, "question": "q"}, "video is '7'"),
        ({"video": "a.mp4", "question": ["q"]}, "question is"),
        ({"video": "a.mp4", "question": "q", "max_new_tokens": 0}, "max_new_tokens is '0'"),
        ({"video": "a.mp4", "question": "q", "max_new_tokens": 1.5}, "max_new_tokens is '1.5'"),
        ({"video": "a.mp4", "question": "q", "options": "[1"}, "options is '[1'"),
        ({"video": "a.mp4", "question": "q", "options": []}, "options is '[]'"),
        ({"video": "a.mp4", "question": "\ud800"}, "question is"),
        ({"video": "a\0.mp4", "question": "q"}, "video is"),
        ({"video": "a.mp4", "question": "q", "id": {}}, "id is {}"),
    ],
)
def test_bad_row_says_why_and_where(tmp_path: Path, row: dict[str, object], error: str) -> None:
    refused = read_one(tmp_path, **row)
    assert isinstance(refused, BadRequest)
    assert error in refused.error
    assert "m.jsonl, line 1" in refused.error


def test_unreadable_lines_fail_alone(tmp_path: Path) -> None:
    good = json.dumps({"video": "a.mp4", "question": "q"}).encode()
    (tmp_path / "m.jsonl").write_bytes(b"\n".join([good, b"{not json", b'{"video": "\xff"}', b"[1]", good]) + b"\n")
    requests = read([str(tmp_path / "m.jsonl")], default_question=None)
    assert [isinstance(r, JobRequest) for r in requests] == [True, False, False, False, True]
    assert [r.error.split(": ")[1] for r in requests if isinstance(r, BadRequest)] == [
        "not JSON",
        "not UTF-8",
        "got list, expected a JSON object",
    ]
    (tmp_path / "m.csv").write_bytes(b"video,question\na.mp4,q\na.mp4,\xe9t\xe9\na.mp4,q,more\na.mp4\n")
    requests = read([str(tmp_path / "m.csv")], default_question=None)
    assert [isinstance(r, JobRequest) for r in requests] == [True, False, False, False]
    assert "line 3: not UTF-8" in requests[1].error  # type: ignore[union-attr]


def test_ids_are_stable_and_each_once(tmp_path: Path) -> None:
    rows = [
        {"video": "a.mp4", "question": "q", "id": "x"},
        {"video": "b.mp4", "question": "q"},
        {"video": "b.mp4", "question": "q"},
        {"video": "c.mp4", "question": "q", "id": "x"},
        {"video": "d.mp4", "question": "q", "id": "x"},
        {"video": "e.mp4", "question": "q", "id": 5},
    ]
    path = jsonl(tmp_path / "m.jsonl", *rows)
    requests = read([path], default_question=None)
    ids = [r.id for r in requests]
    assert len(set(ids)) == 6
    assert ids[0] == "x"
    assert ids[2] == f"{ids[1]}-2"
    assert ids[5] == "5"
    assert [isinstance(r, JobRequest) for r in requests] == [True, True, True, False, False, True]
    assert "already that of m.jsonl, line 1" in requests[3].error  # type: ignore[union-attr]
    assert read([path], default_question=None) == requests
    jsonl(tmp_path / "m.jsonl", *rows, {"video": "f.mp4", "question": "q"})
    assert read([path], default_question=None)[:6] == requests


def test_requests_of_a_clip_are_one_task(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "m.jsonl",
        {"video": "a.mp4", "question": "1"},
        {"video": "b.mp4", "question": "2"},
        {"video": "a.mp4", "question": "3"},
        {"video": "a.mp4", "question": "4", "start": 1},
    )
    tasks = group([r for r in read([path], default_question=None) if isinstance(r, JobRequest)])
    assert [[r.question for r in t.requests] for t in tasks] == [["1", "3"], ["2"], ["4"]]


def test_folders_globs_and_files(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MKV", "sub/c.webm", ".hidden.mp4", "notes.txt", "sub/d.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").touch()

    def videos(*inputs: str) -> list[str]:
        requests = read(inputs, default_question="Describe the video.")
        return [str(Path(r.clip.video).relative_to(tmp_path)) for r in requests if isinstance(r, JobRequest)]

    assert videos(str(tmp_path)) == ["a.MKV", "b.mp4", "sub/c.webm", "sub/d.gif"]
    assert videos(str(tmp_path / "*.mp4"), str(tmp_path / "b.mp4")) == ["b.mp4"]
    assert videos(str(tmp_path / "images")) == ["images"]
    assert videos(str(tmp_path / "notes.txt")) == ["notes.txt"]
    for wrong in ("missing.mp4", "no*.mp4"):
        with pytest.raises(UserError, match=r"does not exist|No file matches"):
            videos(str(tmp_path / wrong))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no videos"):
        videos(str(tmp_path / "empty"))


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.mp4")
    (tmp_path / name).touch()
    (entry,) = read([str(tmp_path)], default_question="q")
    assert isinstance(entry, JobRequest)
    assert entry.clip.video.endswith(name)
    assert entry.video.endswith("\\udcff\\udcfe.mp4")
    entry.id.encode()


def test_unusable_inputs_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("clip,question\na,b\n")
    (tmp_path / "m.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(UserError, match="expected `video`"):
        read([str(tmp_path / "m.csv")], default_question=None)
    with pytest.raises(UserError, match="no Parquet file"):
        read([str(tmp_path / "m.parquet")], default_question=None)
    with pytest.raises(UserError, match="no inputs"):
        read([], default_question=None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match="brings no question"):
        read([str(tmp_path / "a.mp4")], default_question=None)


def test_remote_manifest(tmp_path: Path, server: str, clips: Path) -> None:
    jsonl(clips / "remote.jsonl", {"video": "clip0.mp4", "question": "q"})
    (entry,) = read([f"{server}/remote.jsonl"], default_question=None)
    (clips / "remote.jsonl").unlink()
    assert isinstance(entry, JobRequest)
    assert entry.clip.video == f"{server}/clip0.mp4"
