"""The Dockerfile finds what it copies, and every recipe is a file of options that its command knows."""

import re
from pathlib import Path

import pytest

from pipelines.cli.caption import CaptionOptions
from pipelines.cli.config_file import read_options
from pipelines.cli.demo import commands
from pipelines.cli.main import COMMANDS, main
from tests.support.paths import ROOT

RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.toml"))


def test_dockerfile_copies_what_is_there_and_not_ignored() -> None:
    lines = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in lines for source in line.split()}
    assert all((ROOT / source).exists() for source in sources)
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sources == set(let_through)
    assert {"connectors", "videollm", "pipelines", "pyproject.toml"} <= sources


def test_dockerfile_ends_as_a_user_without_rights() -> None:
    users = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["videollm"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_name_options_of_their_command(recipe: Path) -> None:
    assert read_options(recipe, CaptionOptions)[1] == []
    assert recipe.name in (ROOT / "docs" / "install.md").read_text()


def test_demo_runs_commands_that_there_are() -> None:
    named = [command[0] for command in commands(Path("out"), 2)]
    assert set(named) <= set(COMMANDS)
    assert {"make-clips", "caption", "answer", "report"} <= set(named)


def test_demo_needs_clips(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "--num-clips", "0"])
    assert stopped.value.code == 2
    assert "--num-clips is 0" in capsys.readouterr().err
