"""Connectors in the official order of operations, a clip at a time, on the weights of ours; to compare speed with.

The official code is not at hand where benchmarks run: these are plain reimplementations, which the tests hold to our
outputs. STC: VideoLLaMA2's `STCConnector`, whose blocks are timm's (features as (b d t h w) in contiguous memory, norms
that permute back and forth). Resampler: MiniCPM-V, which pads every pack to the longest, makes the keys' positions for
each, and attends with `nn.MultiheadAttention` and a padding mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from connectors import ClipFeatures
from connectors.resampler3d import Resampler3D, pos2d, temporal, temporal_ids
from connectors.stc import STC, Block, ConvNorm


def connect(connector: nn.Module, clips: list[ClipFeatures]) -> list[Tensor]:
    """The visual tokens of each clip."""
    if isinstance(connector, STC):
        return [_stc(connector, torch.stack(list(clip.frames))[None])[0] for clip in clips]
    if isinstance(connector, Resampler3D):
        return [_resampler(connector, clip) for clip in clips]
    raise NotImplementedError(f"no official order for {type(connector).__name__}")


def _norm(conv: ConvNorm, x: Tensor) -> Tensor:
    x = conv.conv(x).permute(0, 2, 3, 1)
    x = F.layer_norm(x, conv.bn.normalized_shape, conv.bn.weight, conv.bn.bias, conv.bn.eps).permute(0, 3, 1, 2)
    return F.silu(x) if conv.act else x


def _block(block: Block, x: Tensor) -> Tensor:
    y = _norm(block.conv2, _norm(block.conv1, x))
    gate = block.se.fc2(F.silu(block.se.fc1(y.mean((2, 3), keepdim=True))))
    short = x if isinstance(block.downsample, nn.Identity) else _norm(block.downsample, x)  # type: ignore[arg-type]
    return F.silu(_norm(block.conv3, y * gate.sigmoid()) + short)


def _stage(stage: nn.Sequential, x: Tensor) -> Tensor:
    for block in stage:
        x = _block(block, x)  # type: ignore[arg-type]
    return x


def _stc(stc: STC, patches: Tensor) -> Tensor:
    t = patches.shape[1]
    x = rearrange(patches, "b t h w d -> b d t h w").contiguous()
    x = _stage(stc.s1, rearrange(x, "b d t h w -> (b t) d h w"))
    x = stc.sampler(rearrange(x, "(b t) d h w -> b d t h w", t=t).contiguous())
    t = x.shape[2]
    x = _stage(stc.s2, rearrange(x, "b d t h w -> (b t) d h w"))
    made: Tensor = stc.readout(rearrange(x, "(b t) d h w -> b (t h w) d", t=t))
    return made


def _resampler(resampler: Resampler3D, clip: ClipFeatures) -> Tensor:
    d, attn = resampler.config.d_llm, resampler.attn
    size = resampler.config.frames_per_pack or len(clip.frames)
    xs, positions = [], []
    for first in range(0, len(clip.frames), size):
        frames = clip.frames[first : first + size]
        ids = temporal_ids(clip.seconds[first : first + size])
        xs.append(torch.cat([f.flatten(0, 1) for f in frames]))
        tables = [pos2d(*f.shape[:2], d, f.device).to(f.dtype) for f in frames]
        times = (
            temporal(ids.to(frames[0].device), d).to(frames[0].dtype) if resampler.config.temporal else [0] * len(ids)
        )
        positions.append(torch.cat([table + time for table, time in zip(tables, times, strict=True)]))
    x = resampler.ln_kv(resampler.kv_proj(nn.utils.rnn.pad_sequence(xs, batch_first=True))).permute(1, 0, 2)
    pos = nn.utils.rnn.pad_sequence(positions)
    padding = torch.ones(len(xs), x.shape[0], dtype=torch.bool, device=x.device)
    for row, own in zip(padding, xs, strict=True):
        row[: len(own)] = False
    query = resampler.ln_q(resampler.query)[:, None].expand(-1, len(xs), -1)
    made, _ = F.multi_head_attention_forward(
        query, x + pos, x, d, attn.num_heads, attn.in_proj_weight, attn.in_proj_bias, None, None, False, 0.0,
        attn.out_proj.weight, attn.out_proj.bias, training=False, key_padding_mask=padding, need_weights=True,
    )  # fmt: skip
    return (resampler.ln_post(made.permute(1, 0, 2)) @ resampler.proj).flatten(0, 1)
