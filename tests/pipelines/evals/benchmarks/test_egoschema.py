"""EgoSchema: all questions, the subset's answers, and the file for its server."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.evals.benchmarks import load_benchmark
from tests.support.benchmark_cases import CASES
from videollm.errors import UserError


@pytest.fixture
def annotations(miniature_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the annotation files, to be changed."""
    for path in miniature_folder("egoschema").glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


def refused(folder: Path, *said: str) -> None:
    with pytest.raises(UserError) as error:
        list(load_benchmark("egoschema").samples(folder, "subset"))
    assert all(part in str(error.value) for part in said)


def test_full_has_all_questions_and_no_answers(miniature_folder: Callable[[str], Path]) -> None:
    benchmark, folder = load_benchmark("egoschema"), miniature_folder("egoschema")
    full = list(benchmark.samples(folder, "full"))
    assert [s.id[:8] for s in full] == ["00000000", "00000001", "00000002"]
    assert [s.answer for s in full] == [None] * 3
    assert benchmark.official(full[0], "A") is None
    assert benchmark.files(folder, "full") == [folder / "questions.json"]


def test_the_submission_shows_what_was_not_read() -> None:
    one, other = CASES["egoschema"].first
    name, text = load_benchmark("egoschema").submission([(one, 4), (other, None)]) or ("", "")
    assert name == "egoschema_submission.csv"
    assert text == ("q_uid,answer\n00000000-11cb-497d-8d07-77c3a8127391,4\n00000002-11cb-497d-8d07-77c3a8127391,-1\n")


def test_no_questions_are_refused(annotations: Path) -> None:
    (annotations / "questions.json").write_text("[]")
    (annotations / "subset_answers.json").write_text("{}")
    refused(annotations, "questions.json", "No questions in")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"00000000-11cb-497d-8d07-77c3a8127391": 5}, "00000000-11cb-497d-8d07-77c3a8127391 is 5, expected an index of "
                                                     "its 5 options, 0 to 4"),
        ({"no-such-question": 1}, "no-such-question"),
        ([], "got list"),
    ],
)  # fmt: skip
def test_answers_must_fit(answers: Any, said: str, annotations: Path) -> None:
    path = annotations / "subset_answers.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | answers if isinstance(answers, dict) else answers))
    refused(annotations, path.name, said)
