"""InternViT (Chen et al. 2023, arXiv:2312.14238), 300M and 6B, through transformers' module."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from transformers import InternVLVisionConfig, InternVLVisionModel

from videollm.vision.tower import VisionTower, shortened


class InternViTTower(VisionTower):
    """Patch features of one hidden state, without the class token; no last norm."""

    def __init__(self, config: VisionTower.Config) -> None:
        super().__init__(config)
        full = InternVLVisionConfig(**config.config).to_dict()
        self.model = InternVLVisionModel(InternVLVisionConfig(**shortened(full, config.select_layer)))
        setattr(self.model, "layernorm", nn.Identity())  # noqa: B010
        self.width, self.patch_size = full["hidden_size"], full["patch_size"][0]

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames: (f c H W) -> (f h w d)."""
        h, _ = self.grid(*pixels.shape[-2:])
        features: Tensor = self.model(pixels).last_hidden_state[:, 1:]
        return rearrange(features, "f (h w) d -> f h w d", h=h)
