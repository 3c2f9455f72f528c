"""SigLIP at any resolution (NaViT, arXiv 2307.06304), as in MiniCPM-V: the position table is looked up, not resized."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor
from transformers import SiglipVisionConfig, SiglipVisionModel

from videollm.vision.tower import VisionTower, shortened


class NavitTower(VisionTower):
    """All patch features after the last norm, for frames of any size that is a multiple of the patch."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VisionTower.Config):
        """VisionTower.Config with another default."""

        select_layer: int = -1

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        full = SiglipVisionConfig(**config.config).to_dict()
        kept = {**shortened(full, config.select_layer), "vision_use_head": False}
        self.model = SiglipVisionModel(SiglipVisionConfig(**kept))
        self.width, self.patch_size = full["hidden_size"], full["patch_size"]
        self.num_buckets = full["image_size"] // full["patch_size"]

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames: (f c H W) -> (f h w d)."""
        h, w = self.grid(*pixels.shape[-2:])
        embeddings = self.model.embeddings
        ids = position_ids(h, w, self.num_buckets).to(pixels.device)
        # As the convolution leaves patches, features lie one by one; every layer would copy them and add them slowly.
        patches = rearrange(embeddings.patch_embedding(pixels), "f d h w -> f (h w) d").contiguous()
        x = self.model.encoder(inputs_embeds=patches + embeddings.position_embedding(ids)).last_hidden_state
        made: Tensor = rearrange(self.model.post_layernorm(x), "f (h w) d -> f h w d", h=h)
        return made


def position_ids(h: int, w: int, num_buckets: int) -> Tensor:
    """Look up the rows (h * w,) of the position table for a grid of patches, row-major."""
    return torch.tensor([r * num_buckets + c for r in buckets(h, num_buckets) for c in buckets(w, num_buckets)])


@lru_cache(maxsize=512)
def buckets(n: int, num_buckets: int) -> tuple[int, ...]:
    """Find the bucket that each of n evenly spaced patches falls into.

    The step is 1 / n in float32 and the sums are float32, as in the official code: `i / n` falls into other buckets
    for n = 25, 49, 50, 55, 58 and many above 70 (vLLM and transformers use it).
    """
    boundaries = torch.arange(1 / num_buckets, 1.0, 1 / num_buckets)
    step = float(1 / torch.tensor(n))
    return tuple(torch.bucketize(torch.arange(0, 1 - 1e-6, step), boundaries, right=True).tolist())
