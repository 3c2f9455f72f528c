"""The house: who may import whom, and how long a file may be. Imports in functions and for types alone count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("pipelines", "videollm", "connectors")
"""From the top down: each may import those after it."""
ROOMS = (("cli",), ("evals", "lab", "timelines"), ("jobs",), ("executors",), ("stages",), ("results",), ("requests",))
"""Rooms of pipelines from the top down; those of one floor do not import each other."""
ONLY_IN = {
    "ray": ("pipelines/executors",),
    "tyro": ("pipelines/cli",),
    "tqdm": ("pipelines/cli", "pipelines/jobs"),
    "transformers": ("videollm", "pipelines"),
    "av": ("videollm", "pipelines"),
    "decord": ("videollm", "pipelines"),
    "pyarrow": ("videollm", "pipelines"),
}
"""Library -> the rooms that may import it."""
MAX_LINES = 350
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# What still breaks the rules, and who mends it; nothing may be added, and a line goes when its file does.
EDGES: set[tuple[str, str]] = set()
LONG: set[str] = set()


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules that a file imports, in full; a name taken from a package is the module of that name, if there is one."""

    def names() -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                assert node.module is not None
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    yield inside if inside in MODULES else node.module

    return frozenset(names())


def room(module: str) -> str:
    """What lies beside a module in its package: `videollm.engines.base` is in the room `videollm.engines`."""
    return ".".join(module.split(".")[:2])


def floor(module: str) -> int:
    """How far down a room of pipelines lies, counted from the top."""
    name = module.split(".")[1] if "." in module else ""
    return next((i for i, rooms in enumerate(ROOMS) if name in rooms), -1)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_packages_import_downwards(path: Path) -> None:
    above = PACKAGES[: PACKAGES.index(path.relative_to(ROOT).parts[0])]
    assert not [m for m in imported(path) if m.split(".")[0] in above]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    place, module = path.relative_to(ROOT).as_posix(), name_of(path)
    for library in {m.split(".")[0] for m in imported(path)} & ONLY_IN.keys():
        if (module, library) not in EDGES:
            assert place.startswith(ONLY_IN[library]), f"{library} is for {', '.join(ONLY_IN[library])}"


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(ROOT / "pipelines")], ids=name_of)
def test_rooms_of_pipelines_import_downwards(path: Path) -> None:
    module = name_of(path)
    others = [m for m in imported(path) if m.startswith("pipelines.") and room(m) != room(module)]
    assert not [m for m in others if floor(m) <= floor(module) and (module, m) not in EDGES]


def test_no_room_is_reached_from_those_it_imports() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        known = {room(m) for m in imported(path) if m in MODULES and (module, m) not in EDGES}
        graph.setdefault(room(module), set()).update(known - {room(module)})
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the rooms


def test_no_file_is_reached_from_those_it_imports() -> None:
    graph = {
        module: {m for m in imported(path) if m in MODULES and (module, m) not in EDGES}
        for module, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=name_of)
def test_files_are_short(path: Path) -> None:
    num_lines = len(path.read_text().splitlines())
    assert num_lines <= MAX_LINES or path.relative_to(ROOT).as_posix() in LONG


def test_what_breaks_the_rules_still_does() -> None:
    """What is mended is to be taken off the lists above."""
    kept = {place for place in LONG if len((ROOT / place).read_text().splitlines()) > MAX_LINES}
    assert kept == LONG
    assert {(m, target) for m, target in EDGES if target in imported(MODULES[m])} == EDGES
