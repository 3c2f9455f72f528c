"""TempCompass: its flat form, and the prompts of its other tasks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evals.benchmarks import load_benchmark
from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import read


def test_in_the_flat_form(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    official = miniature_folder("tempcompass")
    for file in (official / "questions").iterdir():
        rows = [
            {"video_id": video, "dim": dim, **row}
            for video, dims in json.loads(file.read_text()).items()
            for dim, asked in dims.items()
            for row in asked
        ]
        (tmp_path / file.stem).mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / file.stem / "test-00000-of-00001.parquet")
    shutil.copytree(official / "videos", tmp_path / "videos")
    assert read("tempcompass", tmp_path, "test") == CASES["tempcompass"].first


def test_prompts_of_the_other_tasks() -> None:
    _, _, yes_no, _, matching, _ = CASES["tempcompass"].first
    prompt = load_benchmark("tempcompass").prompt
    assert prompt(yes_no) == "Is anything blue?\nPlease answer yes or no:"
    assert prompt(matching) == (
        "Which description is a more suitable match for the video?\nOption 1: It moves left.\n"
        "Option 2: It moves right.\nPlease directly give the best option:"
    )
