"""What the README shows runs, and prints what the README says."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Commands of `videollm` with the output shown below each."""
    for block in BLOCKS:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            command = command.partition("#")[0].strip()
            if command.startswith("videollm "):
                yield command, shown.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", made / "examples")
    return made


def run(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("command", "shown"), list(commands()))
def test_readme_commands_run(command: str, shown: str, folder: Path) -> None:
    """In the README's order: later commands use what earlier ones wrote."""
    printed = run([sys.executable, "-m", "pipelines.cli.main", *shlex.split(command)[1:]], folder)
    for line in shown.splitlines():
        if line.startswith("This run:"):  # figures of time
            continue
        assert line in printed, printed


def test_readme_python_runs(folder: Path) -> None:
    """After the commands above: it asks about a clip that they made."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert run([sys.executable, "-c", code], folder).strip()


def test_readme_start_is_near_the_top() -> None:
    assert "$ videollm ask" in "\n".join(README.splitlines()[:30])


def test_files_the_readme_names_are_there() -> None:
    for target in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / target).exists(), target
