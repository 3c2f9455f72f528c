"""Parts that the vision towers of Qwen-VL share; their parameters have the official names.

SHAPES  f frames, p pairs of frames, c channels, H W pixels, h w patches, d features; b sequences of n patches.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from videollm.vision.rotary import rotate


class PatchEmbedding(nn.Module):
    """A linear layer on patches of several frames, stored as the kernel of a 3D convolution."""

    def __init__(self, channels: int, width: int, temporal_patch: int, patch_size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.size = (temporal_patch, patch_size, patch_size)
        self.proj = nn.Conv3d(channels, width, self.size, stride=self.size, bias=bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed patches: (f c H W) -> (p h w d)."""
        t, i, j = self.size
        patches = rearrange(pixels, "(p t) c (h i) (w j) -> p h w (c t i j)", t=t, i=i, j=j)
        made: Tensor = linear(patches, self.proj.weight.flatten(1), self.proj.bias)
        return made


class Block(nn.Module):
    """A transformer layer with norms before attention and MLP.

    Args:
        width: d.
        num_heads: of attention.
        norm: class of the norms.
        mlp: (... d) -> (... d).
    """

    def __init__(self, width: int, num_heads: int, norm: type[nn.LayerNorm | nn.RMSNorm], mlp: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(width, eps=1e-6), norm(width, eps=1e-6)
        self.attn = Attention(width, num_heads)
        self.mlp = mlp

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """Run the layer on sequences: (b n d) -> (b n d)."""
        x = x + self.attn(self.norm1(x), table)
        made: Tensor = x + self.mlp(self.norm2(x))
        return made


class Attention(nn.Module):
    """Attention of all patches of a sequence to each other, turned by their places."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """Attend: (b n d) -> (b n d)."""
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        made = scaled_dot_product_attention(rotate(q, table), rotate(k, table), v)
        attended: Tensor = self.proj(rearrange(made, "b h n d -> b n (h d)"))
        return attended
