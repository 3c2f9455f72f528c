"""CLIP's ViT (Radford et al. 2021, arXiv:2103.00020) through transformers' module."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from videollm.vision.tower import VisionTower, shortened


class ClipTower(VisionTower):
    """Patch features of one hidden state, without the class token."""

    def __init__(self, config: VisionTower.Config) -> None:
        super().__init__(config)
        full = CLIPVisionConfig(**config.config).to_dict()
        self.model = CLIPVisionModel(CLIPVisionConfig(**shortened(full, config.select_layer)))
        setattr(self.model, "post_layernorm", nn.Identity())  # noqa: B010
        self.width, self.patch_size = full["hidden_size"], full["patch_size"]

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames: (f c H W) -> (f h w d)."""
        h = pixels.shape[-2] // self.patch_size
        features: Tensor = self.model(pixels).last_hidden_state[:, 1:]
        return rearrange(features, "f (h w) d -> f h w d", h=h)
