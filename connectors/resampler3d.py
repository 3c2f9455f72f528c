"""Resampler of MiniCPM-V: learned queries attend to the patches of one frame (2D) or of a pack of frames (3D).

Parameter names are the official ones after `resampler.`, so official weights load as they are. Packs of any length and
frames of any grid go through together without padding: everything but the attention runs on all patches laid end to
end, and the attention runs once for each length of pack.

SHAPES  s patches of all frames end to end, p packs of one length, l patches of a pack, q queries, k heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from connectors.base import ClipFeatures, Connector
from connectors.errors import ConnectorError

TEMPORAL_UNIT_SECONDS: Final = 0.1


def sincos(positions: Tensor, d: int) -> Tensor:
    """Compute rows of the 1D sine-cosine embedding.

    Args:
        positions: (n,) of any number type; d is the even width.
    Returns:
        (n d) float32, sines then cosines. Rounded as the official float32 tables are.
    """
    exponents = torch.arange(d // 2, dtype=torch.float32, device=positions.device) / (d / 2)
    angles = rearrange(positions.float(), "n -> n 1") * (1.0 / 10000.0**exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def pos2d(h: int, w: int, d: int, device: torch.device) -> Tensor:
    """Embed a grid as (h * w, d) float32, row-major: columns in the first half of the channels, rows in the second."""
    columns = repeat(sincos(torch.arange(w, device=device), d // 2), "w d -> (h w) d", h=h)
    rows = repeat(sincos(torch.arange(h, device=device), d // 2), "h d -> (h w) d", w=w)
    return torch.cat([columns, rows], dim=-1)


def temporal_ids(seconds: Tensor) -> Tensor:
    """Convert (t,) float64 seconds to (t,) int32 tenths of a second, cut off as officially; -1 for negative times."""
    return torch.where(seconds < 0, -1, seconds / TEMPORAL_UNIT_SECONDS).to(torch.int32)


def temporal(ids: Tensor, d: int) -> Tensor:
    """Embed ids: (t,) -> (t d) float32; zeros for -1, a still image."""
    return sincos(ids, d) * rearrange(ids >= 0, "t -> t 1")


class Attention(nn.Module):
    """Multi-head attention with the parameters of `nn.MultiheadAttention`, over ragged keys."""

    def __init__(self, d: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * d, d)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d))
        self.out_proj = nn.Linear(d, d)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int]) -> Tensor:
        """Attend from the same queries to every pack.

        Args:
            queries: (q d). keys, values: (s d), packs end to end. lengths: patches of each pack, summing to s.
        Returns:
            (packs q d).
        """
        (wq, wk, wv), (bq, bk, bv) = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query = rearrange(F.linear(queries, wq, bq), "q (k d) -> k q d", k=self.num_heads)
        key = torch.split(F.linear(keys, wk, bk), list(lengths))
        value = torch.split(F.linear(values, wv, bv), list(lengths))
        attended: dict[int, Tensor] = {}
        for length in dict.fromkeys(lengths):
            packs = [i for i, n in enumerate(lengths) if n == length]
            made = F.scaled_dot_product_attention(
                repeat(query, "k q d -> p k q d", p=len(packs)),
                rearrange([key[i] for i in packs], "p l (k d) -> p k l d", k=self.num_heads),
                rearrange([value[i] for i in packs], "p l (k d) -> p k l d", k=self.num_heads),
            )
            attended.update(zip(packs, rearrange(made, "p k q d -> p q (k d)"), strict=True))
        out: Tensor = self.out_proj(torch.stack([attended[i] for i in range(len(lengths))]))
        return out


class Resampler3D(Connector):
    """A fixed number of queries attends to each pack of consecutive frames, with positions in space and time."""

    source: ClassVar[str] = "MiniCPM-V 4.5, arXiv 2509.18154, github.com/OpenBMB/MiniCPM-V"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters of MiniCPM-V's resamplers."""

        num_queries: int = 64
        """Visual tokens of a pack."""
        num_heads: int = 0
        """Attention heads; 0 is d_llm // 128, as in the official models, and at least 1."""
        frames_per_pack: int = 6
        """Consecutive frames that share one set of queries; 0 packs all frames together."""
        temporal: bool = True
        """Add each frame's time to its keys."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        d, num_heads = config.d_llm, config.num_heads or max(1, config.d_llm // 128)
        if d % 4 or d % num_heads:
            raise ConnectorError(
                f"{type(self).__name__} got d_llm={d} and num_heads={num_heads}, expected d_llm to be a multiple of 4 "
                "and of num_heads. Set num_heads to a divisor of d_llm."
            )
        if config.num_queries < 1 or config.frames_per_pack < 0:
            raise ConnectorError(
                f"{type(self).__name__} got num_queries={config.num_queries} and "
                f"frames_per_pack={config.frames_per_pack}, expected at least 1 and at least 0."
            )
        self.query = nn.Parameter(torch.empty(config.num_queries, d))
        self.kv_proj = nn.Linear(config.d_vision, d, bias=False)
        self.attn = Attention(d, num_heads)
        self.ln_q, self.ln_kv, self.ln_post = (nn.LayerNorm(d, eps=1e-6) for _ in range(3))
        self.proj = nn.Parameter(torch.randn(d, d) * d**-0.5)
        for weight in (self.query, self.kv_proj.weight, self.attn.out_proj.weight):
            nn.init.trunc_normal_(weight, std=0.02)
        nn.init.zeros_(self.attn.out_proj.bias)

    def num_tokens(self, t: int, h: int, w: int) -> int:
        """Count num_queries tokens per pack; the grid does not matter.

        Raises:
            ValueError: there is no frame or no patch.
        """
        self.check_size(t, h, w)
        return self.config.num_queries * len(self._packs(t))

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Resample each pack of frames.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t) float64, presentation time of each frame; negative for a still image.
        Returns:
            (b n d_llm), pack after pack; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: there is no frame or no patch.
        """
        clips = zip(patches, seconds, strict=True)
        return torch.stack(self.connect([ClipFeatures(frames=p.unbind(), seconds=s) for p, s in clips]))

    def connect(self, clips: Sequence[ClipFeatures]) -> list[Tensor]:
        """Make the visual tokens (n d_llm) of every clip; frames and grids may differ within and between clips.

        Raises:
            ValueError: a clip has no frame, or a frame has no patch.
        """
        for clip in clips:
            for h, w in clip.grids or [(0, 0)]:
                self.check_size(len(clip.frames), h, w)
        if not clips:
            return []
        d = self.config.d_llm
        frames = [frame for clip in clips for frame in clip.frames]
        x = self.ln_kv(self.kv_proj(torch.cat([rearrange(f, "h w d -> (h w) d") for f in frames])))

        grids = [grid for clip in clips for grid in clip.grids]
        tables = {grid: pos2d(*grid, d, x.device).to(x.dtype) for grid in set(grids)}
        keys = x + torch.cat([tables[grid] for grid in grids])
        if self.config.temporal:
            ids = temporal_ids(torch.cat([clip.seconds for clip in clips])).to(x.device)
            rows = temporal(ids, d).to(x.dtype)
            keys = keys + rows.repeat_interleave(torch.tensor([h * w for h, w in grids], device=x.device), dim=0)

        packs = [[clip.grids[i] for i in pack] for clip in clips for pack in self._packs(len(clip.frames))]
        lengths = [sum(h * w for h, w in pack) for pack in packs]
        tokens = self.ln_post(self.attn(self.ln_q(self.query), keys, x, lengths)) @ self.proj
        counts = [len(self._packs(len(clip.frames))) for clip in clips]
        return [rearrange(made, "p q d -> (p q) d") for made in tokens.split(counts)]

    def _packs(self, t: int) -> list[range]:
        size = self.config.frames_per_pack or t
        return [range(start, min(start + size, t)) for start in range(0, t, size)]


class Resampler2D(Resampler3D):
    """One set of queries per frame, without time, as in MiniCPM-V 2.6."""

    source: ClassVar[str] = "MiniCPM-V 2.6, arXiv 2408.01800, github.com/OpenBMB/MiniCPM-V"

    @dataclass(frozen=True, kw_only=True)
    class Config(Resampler3D.Config):
        """Resampler3D with other defaults."""

        frames_per_pack: int = 1
        temporal: bool = False
