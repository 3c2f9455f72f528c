"""What the README shows runs, and prints what the README says."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import blocks, check_shown, commands, run_command, run_python
from tests.support.paths import ROOT

PAGE = ROOT / "README.md"
README = PAGE.read_text()


def videollm_commands() -> Iterator[tuple[str, str]]:
    """Commands of `videollm` with the output shown below each."""
    for block in blocks(PAGE):
        if block.language == "console":
            yield from (pair for pair in commands(block) if pair[0].startswith("videollm "))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", made / "examples")
    return made


@pytest.mark.parametrize(("command", "shown"), list(videollm_commands()))
def test_readme_commands_run(command: str, shown: str, folder: Path) -> None:
    """In the README's order: later commands use what earlier ones wrote."""
    check_shown(shown, run_command(command, folder))


def test_readme_python_runs(folder: Path) -> None:
    """After the commands above: it asks about a clip that they made."""
    (code,) = (block.text for block in blocks(PAGE) if block.language == "python")
    assert run_python(code, folder).strip()


def test_readme_start_is_near_the_top() -> None:
    assert "$ videollm ask" in "\n".join(README.splitlines()[:30])


def test_files_the_readme_names_are_there() -> None:
    for target in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / target).exists(), target
