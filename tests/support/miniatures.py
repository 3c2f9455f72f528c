"""Every benchmark's miniature: benchmark -> function that writes its folder."""

from collections.abc import Callable
from pathlib import Path

from tests.support import miniatures_a, miniatures_b

MINIATURES: dict[str, Callable[[Path], None]] = {**miniatures_a.MINIATURES, **miniatures_b.MINIATURES}
