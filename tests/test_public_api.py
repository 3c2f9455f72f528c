"""The public API, and every dotted name that the documentation, docstrings and messages give: all of them import."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator

import pytest

import videollm
from connectors import CONNECTORS
from connectors.registry import Table
from pipelines.evals.benchmarks import BENCHMARKS
from pipelines.executors.base import EXECUTORS
from pipelines.timelines.exports.base import EXPORTS
from pipelines.timelines.splitters import SPLITTERS
from pipelines.timelines.strategies.base import STRATEGIES
from pipelines.timelines.track_formats import TRACK_FORMATS
from tests.support.paths import ROOT
from videollm.adapters import ADAPTERS
from videollm.checkpoints import FAMILIES
from videollm.engines import ENGINES
from videollm.prompts.positions import POSITIONS
from videollm.video.cues import CUES
from videollm.video.decoding.base import DECODERS
from videollm.video.preprocessing import PREPROCESSINGS
from videollm.video.sampling import POLICIES
from videollm.vision import TOWERS

DOTTED = re.compile(r"(?<![\w./@-])(?:videollm|connectors|pipelines)(?:[.:][A-Za-z_]\w*)+\b(?![/\w-])")
HEAVY = {"torch", "transformers", "av", "decord", "ray", "tyro", "tqdm", "PIL", "pyarrow"}
TABLES: tuple[Table, ...] = (
    ADAPTERS,
    BENCHMARKS,
    CONNECTORS,
    CUES,
    DECODERS,
    ENGINES,
    EXECUTORS,
    EXPORTS,
    FAMILIES,
    POLICIES,
    POSITIONS,
    PREPROCESSINGS,
    SPLITTERS,
    STRATEGIES,
    TOWERS,
    TRACK_FORMATS,
)
NOT_PYTHON = {table.group for table in TABLES}
"""Entry-point groups."""


def in_documents() -> Iterator[tuple[str, str]]:
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")):
        for name in DOTTED.findall(path.read_text()):
            yield str(path.relative_to(ROOT)), name


def in_sources() -> Iterator[tuple[str, str]]:
    for package in ("connectors", "videollm", "pipelines", "examples", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            with path.open("rb") as file:
                for token in tokenize.tokenize(file.readline):
                    if token.type in (tokenize.STRING, tokenize.COMMENT):
                        for name in DOTTED.findall(token.string):
                            yield str(path.relative_to(ROOT)), name


def resolve(name: str) -> object:
    """What a dotted name means: a module (None where it needs a package that is not installed), or a part of one."""
    parts = re.split(r"[.:]", name)
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] != parts[0]:
                return None
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


@pytest.mark.parametrize("where", [in_documents, in_sources])
def test_names_in_the_documentation_exist(where) -> None:
    named = sorted(set(where()))
    assert named
    wrong = []
    for path, name in named:
        if name not in NOT_PYTHON:
            try:
                resolve(name)
            except (AttributeError, ModuleNotFoundError) as error:
                wrong.append(f"{path}: {name}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["videollm.video.decode", "videollm.video.Sampling", "videollm.load.nothing"])
def test_names_that_do_not_exist_are_found_out(name: str) -> None:
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        resolve(name)
    assert DOTTED.findall(f"as `{name}` does") == [name]


@pytest.mark.parametrize("name", videollm.__all__)
def test_the_public_api_imports(name: str) -> None:
    found = getattr(videollm, name)
    assert found.__doc__
    assert found.__name__ == name
    assert name in dir(videollm)


def test_a_name_that_is_not_public() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = videollm.Nothing


def test_importing_the_package_is_light() -> None:
    code = "import sys, videollm; videollm.Clip, videollm.Sampling, videollm.decode, videollm.UserError\n"
    code += (
        "print({'torch', 'transformers', 'av', 'decord', 'ray', 'tyro', 'tqdm', 'PIL', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_type_checkers_see_what_is_imported() -> None:
    tree = ast.parse((ROOT / "videollm" / "__init__.py").read_text())
    typed = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name: str(node.module) for node in typed.body if isinstance(node, ast.ImportFrom)
            for alias in node.names}  # fmt: skip
    assert sorted(seen) == sorted(videollm.__all__)
    for name, module in seen.items():
        assert getattr(importlib.import_module(module), name) is getattr(videollm, name)
    assert (ROOT / "videollm" / "py.typed").exists()
