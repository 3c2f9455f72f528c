"""Pages of the documentation, and their commands and code run as a reader would."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
SHELL = f"""
python() {{ {shlex.quote(sys.executable)} "$@"; }}
videollm() {{ python -m pipelines.cli.main "$@"; }}
"""


@dataclass(frozen=True)
class Block:
    """A fenced block; `title` names the file that the reader is told to write."""

    language: str
    title: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(language, title or None, text) for language, title, text in FENCE.findall(page.read_text())]


def commands(console: Block) -> Iterator[tuple[str, str]]:
    """Commands of a console block with the output shown below each."""
    for part in re.split(r"^\$ ", console.text, flags=re.MULTILINE)[1:]:
        command, shown = re.fullmatch(r"((?:.*\\\n)*.*)\n?(.*)", part, re.DOTALL).groups()
        yield re.sub(r"\s+# .*$", "", command), shown.strip()


def run_command(command: str, folder: Path) -> str:
    """Run a command line in a folder, where `videollm` and `python` are those under test."""
    return _run(["bash", "-e", "-c", f"{SHELL}{command}"], folder)


def run_python(code: str, folder: Path) -> str:
    return _run([sys.executable, "-c", code], folder)


def check_shown(shown: str, printed: str) -> None:
    """Every line that a page shows was printed; `...` stands for others."""
    for line in shown.splitlines():
        if line != "..." and not line.startswith("This run:"):  # figures of time
            assert line in printed, printed


def run_page(page: Path, folder: Path) -> None:
    """Do all that a page tells its reader, and see what it says comes of it."""
    printed = ""
    for block in blocks(page):
        if block.title is not None:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text)
        elif block.language == "console":
            for command, shown in commands(block):
                check_shown(shown, run_command(command, folder))
        elif block.language == "python":
            printed = run_python(block.text, folder)
        elif block.language == "text":
            check_shown(block.text, printed)


def _run(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout
