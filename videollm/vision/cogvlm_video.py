"""The vision tower of CogVLM2-Video (arXiv:2408.16500): EVA2-CLIP-E, whose norms come after attention and MLP.

The parameters have the official names after `model.vision.`; what follows the last layer there is a connector of its
own (`connectors/glu_adapter.py`).

SHAPES  f frames, c channels, H W pixels, h w patches, n tokens of a frame (the class token first), d features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from videollm.errors import UserError
from videollm.vision.tower import VisionTower


class CogVLMVideoTower(VisionTower):
    """Features of patches after the last layer, which has no norm behind it, without the class token."""

    @dataclass(frozen=True, kw_only=True)
    class Config(VisionTower.Config):
        """Settings of the tower; all layers run."""

        select_layer: int = -1

    def __init__(self, config: VisionTower.Config) -> None:
        super().__init__(config)
        values = config.config
        self.width, self.patch_size, self.side = values["hidden_size"], values["patch_size"], values["image_size"]
        if values["num_positions"] != (self.side // self.patch_size) ** 2 + 1:
            raise UserError(
                f"vision_config has num_positions {values['num_positions']}; expected one for the class token and each "
                f"patch of {self.patch_size} pixels in {self.side} x {self.side}."
            )
        self.patch_embedding = Embedding(values["in_channels"], self.width, self.patch_size, values["num_positions"])
        self.transformer = Layers(values)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames: (f c H W) -> (f h w d); they have the size that the tower has positions for."""
        h, _ = self.grid(*pixels.shape[-2:])
        x = self.transformer(self.patch_embedding(pixels))
        made: Tensor = rearrange(x[:, 1:], "f (h w) d -> f h w d", h=h)
        return made


class Embedding(nn.Module):
    """A class token and patches, with learned positions."""

    def __init__(self, channels: int, width: int, patch_size: int, num_positions: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch_size, stride=patch_size)
        self.cls_embedding = nn.Parameter(torch.zeros(1, width))
        self.position_embedding = nn.Embedding(num_positions, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed frames: (f c H W) -> (f n d)."""
        i, j = self.proj.kernel_size
        patches = rearrange(pixels, "f c (h i) (w j) -> f (h w) (c i j)", i=i, j=j)
        x = linear(patches, self.proj.weight.flatten(1), self.proj.bias)
        made: Tensor = torch.cat([self.cls_embedding.expand(len(x), 1, -1), x], 1) + self.position_embedding.weight
        return made


class Layers(nn.Module):
    """All layers, one after the other."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(values) for _ in range(values["num_hidden_layers"]))

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers: (f n d) -> (f n d)."""
        for layer in self.layers:
            x = layer(x)
        return x


class Layer(nn.Module):
    """A transformer layer whose norms, for all their names, come after attention and MLP."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        width, eps = values["hidden_size"], values["layer_norm_eps"]
        self.attention, self.mlp = Attention(width, values["num_heads"]), MLP(width, values["intermediate_size"])
        self.input_layernorm = nn.LayerNorm(width, eps=eps)
        self.post_attention_layernorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer: (f n d) -> (f n d)."""
        x = x + self.input_layernorm(self.attention(x))
        made: Tensor = x + self.post_attention_layernorm(self.mlp(x))
        return made


class Attention(nn.Module):
    """Attention of all tokens of a frame to each other."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value, self.dense = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend: (f n d) -> (f n d)."""
        q, k, v = rearrange(self.query_key_value(x), "f n (three h d) -> three f h n d", three=3, h=self.num_heads)
        made = scaled_dot_product_attention(q, k, v)
        attended: Tensor = self.dense(rearrange(made, "f h n d -> f n (h d)"))
        return attended


class MLP(nn.Module):
    """Linear layer, GELU, linear layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (... d) -> (... d)."""
        made: Tensor = self.fc2(gelu(self.fc1(x)))
        return made
