"""MLVU: other layouts, the defects of its files, and the file for its server."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pipelines.evals.benchmarks import load_benchmark
from tests.support.benchmark_cases import CASES
from tests.support.benchmark_cases.base import read


def test_from_inside_its_folder_and_as_the_official_scripts_have_it(
    miniature_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    official = miniature_folder("mlvu")
    shutil.copytree(official / "MLVU/json", tmp_path / "json")
    shutil.copytree(official / "MLVU/video", tmp_path / "video")
    assert next(s.clip.video for s in read("mlvu", tmp_path, "dev")) == "video/1_plotQA/still_1.mp4"
    (tmp_path / "video/1_plotQA").rename(tmp_path / "video/plotQA")
    assert next(s.clip.video for s in read("mlvu", tmp_path, "dev")) == "video/plotQA/still_1.mp4"


def test_test_without_its_answers(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(miniature_folder("mlvu") / "test_multi_choice_tasks.json", tmp_path)
    found = read("mlvu", tmp_path, "test")
    assert [s.answer for s in found] == [None, None]
    assert load_benchmark("mlvu").official(found[0], "A") is None


def test_with_the_defects_of_its_files(miniature_folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(miniature_folder("mlvu") / "MLVU/json", tmp_path / "json")
    asked = "What is the man in the video doing on the lake shore during the sunny summer?"
    needle = {"video": "needle_4.mp4", "question": asked, "question_type": "findNeedle",
              "candidates": ["Fishing", "Catching the drone", "Launching the drone", "Sunbathing"],
              "answer": "Catching a flying drone quadcopter"}  # fmt: skip
    twice = {"video": "movie101_21.mp4", "question": "How many people are on the pirate ship?",
             "candidates": ["Six", "Three", "Three", "Eight"], "answer": "Three",
             "question_type": "plotQA"}  # fmt: skip
    blank = {"video": "ego_81.mp4", "question": "How many jars did I see in the cabinet?",
             "candidates": ["2", "5", "10", ""], "answer": "", "question_type": "ego"}  # fmt: skip
    for task, row in (("1_plotQA", twice), ("2_needle", needle), ("3_ego", blank)):
        (tmp_path / f"json/{task}.json").write_text(json.dumps([row]))
    one, other, third = read("mlvu", tmp_path, "dev")[:3]
    official = load_benchmark("mlvu").official
    assert (one.answer, other.answer, third.answer) == (1, 1, 3)
    assert [official(one, text) for text in "BC"] == [False, True]  # the last of both
    assert [official(one.rotated(2), text) for text in "AD"] == [False, True]
    assert official(other, "B") is False  # its answer is no option
    assert official(third, "D") is True


def test_the_submission_shows_what_was_not_read() -> None:
    one, other = CASES["mlvu"].samples["test"]
    assert load_benchmark("mlvu").submission([(one, 4), (other, None)]) == (
        "test_res.json",
        json.dumps(
            [
                {"question_id": "AR_0", "question_type": "anomaly_reco", "option": "E"},
                {"question_id": "TQ_7", "question_type": "tutorialQA", "option": ""},
            ],
            indent=4,
        ),
    )
