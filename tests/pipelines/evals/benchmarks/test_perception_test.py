"""Perception Test: its flat form, its annotations without cuts, and the file for its challenge."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evals.benchmarks import load_benchmark
from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import read
from videollm.errors import UserError
from videollm.types import Clip


def test_in_the_flat_form(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    nested = json.loads((miniature_folder("perception_test") / "mc_question_valid.json").read_text())
    rows = [
        {"video_name": video, "question_id": str(row["id"]), **{k: v for k, v in row.items() if k != "id"}}
        for video, held in nested.items()
        for row in held["mc_question"]
    ]
    (tmp_path / "mc_question_val").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mc_question_val/validation-00000-of-00001.parquet")
    shutil.copytree(miniature_folder("perception_test") / "videos", tmp_path / "videos")
    (tmp_path / "videos/video_11.mp4").rename(tmp_path / "videos/video_11.MP4")
    found = read("perception_test", tmp_path, "valid")
    assert [s.clip for s in found] == [*[Clip(video="videos/video_10.mp4")] * 2, Clip(video="videos/video_11.MP4")]
    expected = CASES["perception_test"].first
    assert [replace(s, clip=e.clip) for s, e in zip(found, expected, strict=True)] == expected

    shutil.copy(miniature_folder("perception_test") / "cut_frame_mapping_valid.json", tmp_path)
    with pytest.raises(UserError, match="has no frame rates"):
        read("perception_test", tmp_path, "valid")


def test_from_all_annotations_uncut(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("perception_test")
    (tmp_path / "valid_annotations").mkdir()
    shutil.copy(official / "mc_question_valid.json", tmp_path / "valid_annotations/all_valid.json")
    shutil.copytree(official / "videos", tmp_path / "valid_videos/videos")
    assert [s.clip for s in read("perception_test", tmp_path, "valid")] == [
        *[Clip(video="valid_videos/videos/video_10.mp4")] * 2,
        Clip(video="valid_videos/videos/video_11.mp4"),
    ]


def test_the_submission_shows_what_was_not_read() -> None:
    one, other, _ = CASES["perception_test"].first
    name, text = load_benchmark("perception_test").submission([(one, 1), (other, None)]) or ("", "")
    assert name == "perception_test_mcqa.json"
    assert json.loads(text) == {"video_10": [{"id": 0, "answer_id": 1, "answer": "one"}]}
