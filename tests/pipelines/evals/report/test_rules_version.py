"""Scores name the version of the rules that read the answers; where scores of another version lie, that is said."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main as cli
from pipelines.evals.answers.choice import RULES_VERSION
from pipelines.evals.report.runs import headline_facts, read_run
from pipelines.evals.report.view import VERSION, make_view
from pipelines.evals.score_files import SCORES, written_rules


@pytest.fixture
def scored(runs: tuple[Path, Path], tmp_path: Path) -> tuple[Path, ...]:
    """Copies of two runs, with scores."""
    copies = tuple(tmp_path / folder.name for folder in runs)
    for folder, copy in zip(runs, copies, strict=True):
        shutil.copytree(folder, copy)
        cli.main(["score", str(copy)])
    return copies


def change_scores(folder: Path, **changes: Any) -> None:
    """Edit scores.json; a field set to None is left out."""
    held = json.loads((folder / SCORES).read_text()) | changes
    (folder / SCORES).write_text(json.dumps({k: v for k, v in held.items() if v is not None}))


def test_scores_name_their_rules(scored: tuple[Path, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads((scored[0] / SCORES).read_text())["rules"] == RULES_VERSION
    assert written_rules(scored[0]) == RULES_VERSION
    facts = dict(headline_facts(read_run(scored[0])))
    assert facts["Reader"] == f"rules {RULES_VERSION}"
    assert "Warning" not in facts
    cli.main(["compare-runs", *map(str, scored)])
    assert capsys.readouterr().err == ""


def test_scores_of_other_rules_are_told(scored: tuple[Path, ...], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["compare-runs", *map(str, scored)])
    before = capsys.readouterr().out
    change_scores(scored[0], rules=None)  # as written before versions were
    change_scores(scored[1], rules=99)
    cli.main(["compare-runs", *map(str, scored)])
    printed = capsys.readouterr()
    assert printed.out == before  # answers are read again, so the comparison is the same
    for folder, version in zip(scored, (1, 99), strict=True):
        warning = f"{folder / SCORES} was made by version {version} of the reader's rules"
        assert warning in printed.err
        assert dict(headline_facts(read_run(folder)))["Warning"].startswith(warning)
    cli.main(["score", str(scored[0])])
    assert written_rules(scored[0]) == RULES_VERSION


def test_files_that_are_no_scores_name_no_rules(scored: tuple[Path, ...]) -> None:
    (scored[0] / SCORES).write_text("[]")
    (scored[1] / SCORES).unlink()
    assert [written_rules(folder) for folder in scored] == [None, None]


def test_the_page_names_the_version_of_its_data(scored: tuple[Path, ...]) -> None:
    assert make_view([read_run(scored[0])]).data["version"] == VERSION
