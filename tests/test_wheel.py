"""The wheel holds every file of the packages: code, weights, prompts and pages."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = ("connectors", "videollm", "pipelines")
ABOUT = ("pyproject.toml", "README.md", "LICENSE")


def test_wheel_holds_all_files_of_the_packages(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ABOUT:
        shutil.copy(ROOT / name, tree)
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, env=environment, stdout=subprocess.DEVNULL)

    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {p.relative_to(ROOT).as_posix() for name in PACKAGES for p in (ROOT / name).rglob("*") if p.is_file()}
    assert held == {name for name in there if "__pycache__" not in name}
    assert "pipelines/timelines/prompts/segment.txt" in held
