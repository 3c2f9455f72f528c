import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

BELOW = {"connectors": set(), "videollm": {"connectors"}, "pipelines": {"connectors", "videollm"}}
FILES = sorted(path for package in BELOW for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_layers_import_downwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for module in imported(path):
        top = module.partition(".")[0]
        assert top not in BELOW or top == package or top in BELOW[package], f"{package} imports {module}"
        if top == "ray":
            assert path.parent == ROOT / "pipelines" / "executors"
        if package == "connectors" and top in ("transformers", "av", "decord", "pyarrow", "tqdm"):
            pytest.fail(f"connectors knows torch and einops only, and imports {module}")
