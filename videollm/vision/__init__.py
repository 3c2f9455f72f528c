"""Vision towers: one file each."""

from __future__ import annotations

from typing import Final

from videollm.vision.clip import ClipTower
from videollm.vision.navit import NavitTower
from videollm.vision.siglip import SiglipTower
from videollm.vision.tower import VisionTower

TOWERS: Final[dict[str, type[VisionTower]]] = {"clip": ClipTower, "siglip": SiglipTower, "navit": NavitTower}

__all__ = ["TOWERS", "VisionTower"]
