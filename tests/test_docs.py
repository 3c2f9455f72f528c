"""The documentation is true: its tutorials run, its generated pages are whole, and what it names is there."""

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from docs.generated import INTERFACES, MARKED, MARKS, PAGES, TABLES, help_of, with_tables
from pipelines.cli.main import COMMANDS
from pipelines.results.schema import ResultRow
from tests.support.pages import PAGES as WRITTEN
from tests.support.pages import blocks, run_page, run_python
from tests.support.paths import ROOT
from videollm.errors import Status
from videollm.shapes.clips import ClipsConfig, write_clips

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]+")
OTHERS = {
    "--help",
    "--version",
    "--index-url",
    "--no-deps",
    "--wheel-dir",
    "--constraint",
    "--extra-index-url",
    "--disable_llm",
}
"""Flags of other tools that pages show, and those of `videollm` itself."""
PACKAGES = r"(?:connectors|videollm|pipelines)"
PLACEHOLDERS = {"x.py", "X.py"}
SOURCES = [path for package in ("connectors", "videollm", "pipelines") for path in (ROOT / package).rglob("*.py")]
STACK = """
import json, traceback
from connectors.stc import STC
from pipelines.cli.main import main

stack, forward = [], STC.forward

def spy(*arguments):
    stack.extend(frame.filename for frame in traceback.extract_stack()[:-1])
    return forward(*arguments)

STC.forward = spy
main(["caption", "clips", "-o", "out", "--executor", "local"])
print(json.dumps([*stack, forward.__code__.co_filename]))
"""
"""Prints the files on the stack when a connector's forward is called."""


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    helped = {flag for name in COMMANDS for flag in FLAG.findall(help_of(name))}
    scripts = " ".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    fields = {f"--{name.replace('_', '-')}" for name in re.findall(r"(\w+): ", scripts)}  # tyro makes flags of them
    return helped | fields | set(FLAG.findall(scripts)) | OTHERS


def inline_code(page: Path) -> list[str]:
    """What stands between backticks outside fenced blocks, a line break as a space."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=page_id)
def test_tutorial_runs(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.parametrize("page", WRITTEN, ids=page_id)
def test_files_shown_are_those_of_the_repository(page: Path) -> None:
    for block in blocks(page):
        if block.title is not None and (ROOT / block.title).exists():
            assert block.text == (ROOT / block.title).read_text(), block.title


@pytest.mark.parametrize("page", WRITTEN, ids=page_id)
def test_flags_on_a_page_exist(page: Path, known_flags: set[str]) -> None:
    assert set(FLAG.findall(page.read_text())) <= known_flags


@pytest.mark.parametrize("page", WRITTEN, ids=page_id)
def test_names_on_a_page_exist(page: Path) -> None:
    """Dotted names import, and paths from the root are there."""
    groups = {table.group for table in map(_imported, TABLES)}
    for code in inline_code(page):
        if re.fullmatch(rf"{PACKAGES}(?:\.\w+)+", code) and code not in groups:
            _imported(code)
        if re.fullmatch(r"(?:connectors|videollm|pipelines|tests|docs|examples|benchmarks)/[\w./-]*", code):
            assert Path(code).name in PLACEHOLDERS or (ROOT / code).exists(), code


def test_the_walk_is_the_stack(tmp_path: Path) -> None:
    """The page of the architecture names the files between `videollm caption` and a connector's forward, in order."""
    write_clips(tmp_path / "clips", ClipsConfig(num_clips=1))
    *_, stack = run_python(STACK, tmp_path).splitlines()
    paths = [Path(name) for name in json.loads(stack)]
    ours = tuple(ROOT / package for package in ("pipelines", "videollm", "connectors"))
    files = [str(path.relative_to(ROOT)) for path in paths if any(map(path.is_relative_to, ours))]
    walk = (ROOT / "docs" / "architecture.md").read_text().split("## A walk")[1].split("\n## ")[0]
    assert re.findall(r"^\| \w* ?\| `([\w/.]+)` \|", walk, re.MULTILINE) == list(dict.fromkeys(files))


def test_every_command_is_on_its_page_with_its_flags() -> None:
    page = PAGES["reference/commands.md"]()
    for name in COMMANDS:
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert f"usage: videollm {name}" in section
        assert set(FLAG.findall(help_of(name))) <= set(FLAG.findall(section))


def test_every_column_and_status_is_on_its_page() -> None:
    columns, statuses = PAGES["reference/columns.md"](), PAGES["statuses.md"]()
    for name in ResultRow.__dataclass_fields__:
        assert re.search(rf"^\| `{name}` \| `[\w<>]+` \| \S", columns, re.MULTILINE), name
    for status in Status:
        assert re.search(rf"^\| `{status}` \| \S", statuses, re.MULTILINE), status


def test_every_table_is_on_its_page() -> None:
    """All tables of the tree, found by their annotation, with every name that each has."""
    found = {
        line.target.id
        for path in SOURCES
        for line in ast.parse(path.read_text()).body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and ast.unparse(line.annotation).startswith("Final[Table[")
    }
    assert found == {target.partition(":")[2] for target in TABLES}
    page = PAGES["reference/tables.md"]()
    for target in TABLES:
        section = page.split(f"\n## {target.partition(':')[2]}\n")[1].split("\n## ")[0]
        for name, loaded in _imported(target).builtin.items():
            assert re.search(rf"^\| `{name}` \| `[\w.]+` \| \S", section, re.MULTILINE), loaded


@pytest.mark.parametrize("page", WRITTEN, ids=page_id)
def test_tables_in_written_pages_are_up_to_date(page: Path) -> None:
    """`python docs/generated.py` writes them anew."""
    assert with_tables(page.read_text()) == page.read_text()


def test_marked_tables_are_on_a_page() -> None:
    assert {name for page in WRITTEN for _, name, _ in MARKS.findall(page.read_text())} == set(MARKED)


def test_public_names_are_on_a_page() -> None:
    for package in ("videollm", "connectors"):
        page = PAGES[f"reference/{package}.md"]()
        assert re.findall(rf"^::: {package}\.(\w+)$", page, re.MULTILINE) == import_module(package).__all__
    assert all(f"::: {module}" in PAGES["reference/pipelines.md"]() for module in INTERFACES)


def test_citation_names_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()


def _imported(name: str) -> object:
    """What a dotted name, or `module:NAME`, stands for."""
    parts = name.replace(":", ".").split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError as error:
            if error.name is None or not ".".join(parts[:cut]).startswith(error.name):
                raise
            continue
        for attribute in parts[cut:]:
            found = getattr(found, attribute)
        return found
    raise ImportError(name)
