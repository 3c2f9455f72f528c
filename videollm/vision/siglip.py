"""SigLIP (Zhai et al. 2023, arXiv:2303.15343) through transformers' module."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from videollm.vision.tower import VisionTower, shortened


class SiglipTower(VisionTower):
    """All patch features of one hidden state; no pooling head, no last norm."""

    def __init__(self, config: VisionTower.Config) -> None:
        super().__init__(config)
        full = SiglipVisionConfig(**config.config).to_dict()
        kept = {**shortened(full, config.select_layer), "vision_use_head": False}
        self.model = SiglipVisionModel(SiglipVisionConfig(**kept))
        setattr(self.model, "post_layernorm", nn.Identity())  # noqa: B010
        self.width, self.patch_size = full["hidden_size"], full["patch_size"]

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames: (f c H W) -> (f h w d)."""
        h = pixels.shape[-2] // self.patch_size
        # As the convolution leaves patches, features lie one by one; every layer would copy them and add them slowly.
        patches = self.model.embeddings(pixels).contiguous()
        features: Tensor = self.model.post_layernorm(self.model.encoder(inputs_embeds=patches).last_hidden_state)
        return rearrange(features, "f (h w) d -> f h w d", h=h)
