"""Packages from outside the tree, as an installer leaves them: a module, and metadata with its entry points."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, module: str, text: str, group: str, names: dict[str, str]
) -> None:
    """Put a package on the path.

    Args:
        folder: where it is installed.
        module: its only module.
        text: that module's code.
        group: entry-point group.
        names: entry-point name -> `module:Class`.
    """
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(folder))
