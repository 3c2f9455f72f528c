"""Vision towers: one file per tower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.registry import Table
from videollm.errors import UserError

if TYPE_CHECKING:
    from videollm.vision.tower import VisionTower

TOWERS: Final[Table[VisionTower]] = Table(
    noun="vision tower",
    group="videollm.towers",
    base="videollm.vision.tower:VisionTower",
    error=UserError,
    builtin={
        "clip": "videollm.vision.clip:ClipTower",
        "siglip": "videollm.vision.siglip:SiglipTower",
        "internvit": "videollm.vision.internvit:InternViTTower",
        "cogvlm_video": "videollm.vision.cogvlm_video:CogVLMVideoTower",
        "navit": "videollm.vision.navit:NavitTower",
        "merging_navit": "videollm.vision.merging_navit:MergingNavitTower",
        "qwen2vl": "videollm.vision.qwen2vl:Qwen2VLTower",
        "qwen25vl": "videollm.vision.qwen25vl:Qwen25VLTower",
        "qwen3vl": "videollm.vision.qwen3vl:Qwen3VLTower",
        "videollama3": "videollm.vision.videollama3:VideoLLaMA3Tower",
        "siglip_s2": "videollm.vision.s2:SiglipS2Tower",
        "minigemini": "videollm.vision.minigemini:MiniGeminiTower",
    },
)
"""`kind` in a model's config.json -> class."""
