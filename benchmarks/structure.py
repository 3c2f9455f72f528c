"""Structure of the source tree: rooms, floors, arrows, cycles, lines, comments and tests, per package.

    python benchmarks/structure.py             # this checkout
    git worktree add ../before f2856ba
    python benchmarks/structure.py ../before   # another one

A room is a module or folder directly inside a package. An arrow is a pair of rooms of which one imports the other, at
any depth and in any place of a file. Floors are the rooms on the longest way down the arrows. Arrows back up are the
fewest that must go for no room to import itself through others; a cycle is a group of files that do.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import io
import sys
import tokenize
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from itertools import combinations
from pathlib import Path
from typing import Final

import grimp

PACKAGES: Final = ("pipelines", "videollm", "connectors")
LONG: Final = 350
"""Lines above which a file counts as long."""

Arrows = Mapping[str, frozenset[str]]
"""Node -> nodes that it imports."""


def room_arrows(graph: grimp.ImportGraph, package: str) -> Arrows:
    """Return the arrows between the rooms of a package."""
    rooms = {room: {room, *graph.find_descendants(room)} for room in graph.find_children(package)}
    owner = {module: room for room, modules in rooms.items() for module in modules}
    return {
        room: frozenset(
            owner[target]
            for module in modules
            for target in graph.find_modules_directly_imported_by(module)
            if owner.get(target, room) != room
        )
        for room, modules in rooms.items()
    }


def module_arrows(graph: grimp.ImportGraph) -> Arrows:
    """Return the arrows between the files of a package."""
    return {module: frozenset(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def cycles(arrows: Arrows) -> list[frozenset[str]]:
    """Return the groups of more than one node that all import each other, directly or through others."""

    @cache
    def reachable(start: str) -> frozenset[str]:
        seen, ahead = {start}, [start]
        while ahead:
            new = arrows.get(ahead.pop(), frozenset()) - seen
            seen |= new
            ahead += new
        return frozenset(seen)

    groups = {frozenset(n for n in reachable(node) if node in reachable(n)) for node in arrows}
    return sorted((g for g in groups if len(g) > 1), key=sorted)


def arrows_back(arrows: Arrows) -> set[tuple[str, str]]:
    """Return the smallest set of arrows without which nothing imports itself, found by trying all of a cycle's."""
    back: set[tuple[str, str]] = set()
    for group in cycles(arrows):
        inside = sorted((a, b) for a in group for b in arrows[a] & group)
        tries = (some for size in range(1, len(inside)) for some in combinations(inside, size))
        back |= set(next(some for some in tries if not cycles(without(arrows, some, group))))
    return back


def without(arrows: Arrows, removed: Collection[tuple[str, str]], nodes: Collection[str] | None = None) -> Arrows:
    """Return the arrows among some nodes (all if not given), but for the removed ones."""
    nodes = arrows.keys() if nodes is None else nodes
    return {a: frozenset(b for b in arrows[a] if b in nodes and (a, b) not in removed) for a in nodes}


def floors(arrows: Arrows) -> int:
    """Return the number of nodes on the longest way down; the arrows must have no cycle."""
    height: dict[str, int] = {}
    for node in TopologicalSorter(arrows).static_order():
        height[node] = 1 + max((height[below] for below in arrows[node]), default=0)
    return max(height.values())


def count_comments(text: str) -> int:
    """Return the number of lines that hold nothing but a comment."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(t.type == tokenize.COMMENT and not t.line[: t.start[1]].strip() for t in tokens)


def count_tests(text: str) -> int:
    """Return the number of functions that pytest collects; one with parameters counts once."""
    return sum(isinstance(n, ast.FunctionDef) and n.name.startswith("test_") for n in ast.walk(ast.parse(text)))


def measure_imports(package: str) -> dict[str, int]:
    """Return the figures of a package's imports, and print the ones that run in circles."""
    graph = grimp.build_graph(package, cache_dir=None)
    arrows = room_arrows(graph, package)
    back, circles = arrows_back(arrows), cycles(module_arrows(graph))
    for a, b in sorted(back):
        print(f"back up: {a} -> {b}")
    for circle in circles:
        print(f"cycle: {', '.join(sorted(circle))}")
    return {
        "rooms": len(arrows),
        "floors": floors(without(arrows, back)),
        "arrows": sum(map(len, arrows.values())),
        "back up": len(back),
        "cycles": len(circles),
    }


def measure_files(folder: Path) -> dict[str, int]:
    """Return the figures of a folder's files."""
    texts = [path.read_text() for path in folder.rglob("*.py")]
    lines = [text.count("\n") for text in texts]
    return {
        "files": len(texts),
        "lines": sum(lines),
        "comment lines": sum(map(count_comments, texts)),
        f"over {LONG} lines": sum(n > LONG for n in lines),
        "tests": sum(map(count_tests, texts)),
    }


def table(figures: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Return the lines of a table with a row per package."""
    columns = list(next(iter(figures.values())))
    yield "".join(["".ljust(12), *(c.rjust(len(c) + 2) for c in columns)])
    for name, values in figures.items():
        cells = ((f"{values[c]:,}" if c in values else "-").rjust(len(c) + 2) for c in columns)
        yield "".join([name.ljust(12), *cells])


def main() -> None:
    """Print the table of a checkout."""
    parser = argparse.ArgumentParser(description="Print the structure of a checkout.")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parent.parent, help="its folder")
    root = parser.parse_args().root.resolve()
    sys.path.insert(0, str(root))  # where grimp looks for the packages; nothing is imported
    importlib.invalidate_caches()
    figures = {package: measure_imports(package) | measure_files(root / package) for package in PACKAGES}
    print("\n".join(table(figures | {"tests": measure_files(root / "tests")})))


if __name__ == "__main__":
    main()
