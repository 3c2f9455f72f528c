"""Videos of the page without a browser: which rows tell of which part, and where the files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pipelines.evals.report.runs import read_run
from pipelines.evals.report.videos import video_source
from pipelines.evals.report.view import View, make_view
from tests.support.split_rows import row, split_rows, write_output
from videollm.errors import Status


def ids(view: View, places: list[int]) -> list[str]:
    return [view.data["items"]["id"][place] for place in places]


def evidence(id: str, **columns: Any) -> Any:
    return row(id, **{"video": "v.mp4", "answer": "a square", "strategy": "mapreduce", **columns})


def test_rows_of_a_split_video_come_in_order_of_time(tmp_path: Path) -> None:
    rows = split_rows("v", "v.mp4", ["one", None, "three", "four"], chapters=["first", "second"])
    rows += split_rows("w", "w.mp4", ["other"])
    view = make_view([read_run(write_output(tmp_path / "out", reversed(rows)))])
    v, w = sorted(view.data["videos"], key=lambda video: video["name"])
    (track,) = v["tracks"]
    assert ids(view, track["segments"]) == ["v/s00000", "v/s00001", "v/s00002", "v/s00003"]
    assert ids(view, track["chapters"]) == ["v/c000", "v/c001"]
    assert ids(view, [track["whole"]]) == ["v"]
    assert (v["seconds"], v["answers"], track["expected"]) == (40.0, [], 4)
    assert len(w["tracks"][0]["segments"]) == 1
    assert view.data["answers"][0]["status"][track["segments"][1]] == "decode_error"
    assert view.data["answers"][0]["status"][track["whole"]] == "partial"


def test_segments_that_lie_elsewhere_in_another_run_are_other_questions(tmp_path: Path) -> None:
    a = write_output(tmp_path / "a", split_rows("v", "v.mp4", ["one", "two", "three", "four"]))
    b = write_output(tmp_path / "b", split_rows("v", "v.mp4", ["ONE", "TWO", "THREE", "FOUR"], overlap=2))
    view = make_view([read_run(a), read_run(b)])
    first, second = view.data["videos"][0]["tracks"]
    assert (first["run"], second["run"]) == (0, 1)
    assert not {*first["segments"]} & {*second["segments"]}
    assert [view.data["items"]["start"][i] for i in second["segments"]] == [0.0, 9.0, 19.0, 29.0]
    assert [view.data["answers"][1]["output"][i] for i in second["segments"]] == ["ONE", "TWO", "THREE", "FOUR"]
    same = make_view([read_run(a), read_run(write_output(tmp_path / "c", split_rows("v", "v.mp4", ["1"] * 4)))])
    assert same.data["videos"][0]["tracks"][0]["segments"] == same.data["videos"][0]["tracks"][1]["segments"]


def test_evidence_stands_with_the_answer(tmp_path: Path) -> None:
    rows = [
        evidence("q0", evidence_start=(16.0, 2.0), evidence_end=(32.0, 4.5), evidence_scores=(11.25, -0.5), num_looks=8,
                 num_frames_scanned=64),
        evidence("q1", question="Where?", status=Status.PARTIAL, error="a look failed"),
    ]  # fmt: skip
    view = make_view([read_run(write_output(tmp_path / "out", rows))])
    (video,), answers = view.data["videos"], view.data["answers"][0]
    assert video["tracks"] == []
    assert ids(view, [item for _, item in video["answers"]]) == ["q0", "q1"]
    assert answers["evidence"] == [[(16.0, 32.0, 11.25), (2.0, 4.5, -0.5)], []]
    assert answers["looked"][0] == (8, 64)
    assert view.data["texts"][answers["strategy"][0]] == "mapreduce"


def test_one_question_on_several_ranges_is_a_track(tmp_path: Path) -> None:
    ranges = [row(f"r{i}", video="v.mp4", start=i * 5.0, end=i * 5.0 + 5, answer="x") for i in (1, 0)]
    alone = row("alone", video="v.mp4", start=1.0, end=2.0, question="And here?", answer="y")
    no_video = row("bad", status=Status.BAD_REQUEST, error="no video")
    view = make_view([read_run(write_output(tmp_path / "out", [*ranges, alone, no_video]))])
    (video,) = view.data["videos"]
    assert [ids(view, track["segments"]) for track in video["tracks"]] == [["r0", "r1"]]
    assert ids(view, [item for _, item in video["answers"]]) == ["alone"]


def test_runs_that_name_a_file_otherwise_tell_of_one_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a = write_output(tmp_path / "a", split_rows("v", "v.mp4", ["one"]))
    b = write_output(tmp_path / "b", [evidence("q", video=f"{tmp_path}/v.mp4")])
    (video,) = make_view([read_run(a), read_run(b)]).data["videos"]
    assert (len(video["tracks"]), len(video["answers"])) == (1, 1)


def test_an_eval_has_videos_where_its_answers_have_evidence(runs: tuple[Path, Path]) -> None:
    assert make_view([read_run(run) for run in runs]).data["videos"] == []


@pytest.mark.parametrize("name", ["a.mp4", "a b#1?100%.mp4", "javascript:alert(1).mp4", "ü 字.mp4", '"><script>.mp4'])
def test_a_file_is_found_from_the_page_by_its_address(tmp_path: Path, name: str) -> None:
    video = tmp_path / "videos" / name
    video.parent.mkdir()
    video.touch()
    (page := tmp_path / "out" / "deep").mkdir(parents=True)
    source, reason = video_source(str(video), page)
    assert source is not None
    assert reason is None
    assert source.startswith("../../videos/")
    assert not {*':?#"<> '} & {*source}
    assert (page / unquote(source)).samefile(video)


def test_a_file_that_is_away_says_so(tmp_path: Path) -> None:
    assert video_source(str(tmp_path / "gone.mp4"), tmp_path) == (
        None,
        f"There was no file {tmp_path / 'gone.mp4'} when the report was made.",
    )
    source, reason = video_source("s3://bucket/v.mp4", tmp_path)
    assert source is None
    assert "fetches nothing" in (reason or "")
