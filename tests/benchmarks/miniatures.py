"""Every benchmark's miniature: what the files miniatures_*.py beside this one write."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

_FILES = sorted(Path(__file__).parent.glob("miniatures_*.py"))
MINIATURES: dict[str, Callable[[Path], None]] = {}
for _file in _FILES:
    MINIATURES |= import_module(_file.stem).MINIATURES
