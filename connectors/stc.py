"""Spatial-temporal convolution connectors of VideoLLaMA2: RegNet stages around a strided 3D convolution.

Parameter names are the official ones after `model.mm_projector.`, so official weights load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from connectors.base import Connector
from connectors.errors import ConnectorError

Variant = Literal["stc_connector", "stc_connector_v35", "stp_connector", "spatial_conv", "spatial_pool"]


class Downsampling(NamedTuple):
    """How a variant merges neighbouring patches; the stride equals the kernel."""

    kernel: tuple[int, int, int]
    padding: int
    learned: bool
    """A convolution, or else an average."""


DOWNSAMPLING: Final[dict[Variant, Downsampling]] = {
    "stc_connector": Downsampling((2, 2, 2), 1, True),
    "stc_connector_v35": Downsampling((2, 2, 2), 0, True),
    "stp_connector": Downsampling((2, 2, 2), 0, False),
    "spatial_conv": Downsampling((1, 2, 2), 1, True),
    "spatial_pool": Downsampling((1, 2, 2), 0, False),
}


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (b c h w), in channels-last memory without a copy."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (b c h w) over c."""
        x = super().forward(rearrange(x, "b c h w -> b h w c"))
        return rearrange(x, "b h w c -> b c h w")


class ConvNorm(nn.Module):
    """Convolution without bias, channel norm, and SiLU unless told otherwise."""

    def __init__(self, c_in: int, c_out: int, *, kernel: int = 1, groups: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups, bias=False)
        self.bn = ChannelNorm(c_out, eps=1e-5)  # 1e-6, the usual value of such norms, is 5e-4 off the official output
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise: (b c_in h w) -> (b c_out h w)."""
        x = self.bn(self.conv(x))
        return F.silu(x) if self.act else x


def whole_windows(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Cut (b d t h w) to whole windows."""
    t, h, w = (n // size * size for n, size in zip(x.shape[2:], window, strict=True))
    return x[:, :, :t, :h, :w]


class WindowConv(nn.Conv3d):
    """Convolution whose stride is its kernel.

    Without padding the rest that fills no window is cut off first: no window reaches it, yet oneDNN's bfloat16 kernel
    on CPUs with AMX gives wrong numbers beside it (torch 2.13: 5 x 7 x 3 under a stride of 2 is off by its own size).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve: (b d t h w) -> (b d t h w), every axis divided by its window."""
        kernel = (self.kernel_size[0], self.kernel_size[1], self.kernel_size[2])
        return super().forward(x if any(self.padding) else whole_windows(x, kernel))


class WindowMean(nn.Module):
    """Mean of adjacent windows; what does not fill a window is left out."""

    def __init__(self, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Average: (b d t h w) -> (b d t h w), every axis divided by its window; in bfloat16 on CPU too."""
        i, j, k = self.window
        x = whole_windows(x, self.window)
        return reduce(x, "b d (t i) (h j) (w k) -> b d t h w", "mean", i=i, j=j, k=k)


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate computed from the mean of the frame."""

    def __init__(self, c: int, c_reduced: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(c, c_reduced, 1)
        self.fc2 = nn.Conv2d(c_reduced, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale: (b c h w) -> (b c h w)."""
        gate = self.fc2(F.silu(self.fc1(reduce(x, "b c h w -> b c 1 1", "mean"))))
        return x * torch.sigmoid(gate)


class Block(nn.Module):
    """RegNet bottleneck: 1x1, depthwise 3x3, squeeze-excite, 1x1, around a shortcut."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(c_in, c_out)
        self.conv2 = ConvNorm(c_out, c_out, kernel=3, groups=c_out)
        self.se = SqueezeExcite(c_out, round(c_in * 0.25))  # of the block's input width, as in timm's RegStage
        self.conv3 = ConvNorm(c_out, c_out, act=False)
        self.downsample = nn.Identity() if c_in == c_out else ConvNorm(c_in, c_out, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: (b c_in h w) -> (b c_out h w)."""
        return F.silu(self.conv3(self.se(self.conv2(self.conv1(x)))) + self.downsample(x))


def stage(c_in: int, c_out: int, depth: int) -> nn.Sequential:
    """Make blocks named b1, b2, ...; only the first changes the width."""
    blocks = nn.Sequential()
    for i in range(depth):
        blocks.add_module(f"b{i + 1}", Block(c_in if i == 0 else c_out, c_out))
    return blocks


class STC(Connector):
    """Spatial-temporal convolution: stage, strided 3D convolution, stage, two-layer readout."""

    source: ClassVar[str] = "VideoLLaMA2, arXiv 2406.07476, github.com/DAMO-NLP-SG/VideoLLaMA2"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters of the five variants."""

        depth: int = 4
        """Blocks before and after downsampling; 0 leaves the stages out."""
        variant: Variant = "stc_connector"
        """`mm_projector_type` of the official config; stc_connector and its v35 differ in padding, not in weights."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.variant not in DOWNSAMPLING:
            raise ConnectorError(
                f"Unknown STC variant {config.variant!r}. Expected one of {', '.join(get_args(Variant))}."
            )
        kernel, padding, learned = DOWNSAMPLING[config.variant]
        d_in = config.d_llm if config.depth else config.d_vision
        d_out = config.d_llm if learned else d_in
        self.s1 = stage(config.d_vision, config.d_llm, config.depth)
        self.sampler = nn.Sequential(
            WindowConv(d_in, d_out, kernel, stride=kernel, padding=padding) if learned else WindowMean(kernel),
            nn.SiLU(),
        )
        self.s2 = stage(d_out, config.d_llm, config.depth)
        self.readout = nn.Sequential(nn.Linear(d_out, config.d_llm), nn.GELU(), nn.Linear(config.d_llm, config.d_llm))

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int]:
        """Return the grid of the windows of t frames of h x w patches.

        Raises:
            ValueError: an axis is shorter than the window.
        """
        kernel, padding, _ = DOWNSAMPLING[self.config.variant]
        i, j, k = (max(1, size - 2 * padding) for size in kernel)
        self.check_size(t, h, w, least=(i, j, k))
        i, j, k = kernel
        return (t + 2 * padding) // i, (h + 2 * padding) // j, (w + 2 * padding) // k

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Merge patch features over time and space.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t), not used.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w).
        Raises:
            ValueError: an axis is shorter than the downsampling window.
        """
        b, t, h, w, _ = patches.shape
        self.grid(t, h, w)
        x = self.s1(rearrange(patches, "b t h w d -> (b t) d h w"))
        x = self.sampler(rearrange(x, "(b t) d h w -> b d t h w", b=b))
        t = x.shape[2]
        x = self.s2(rearrange(x, "b d t h w -> (b t) d h w"))
        made: Tensor = self.readout(rearrange(x, "(b t) d h w -> b (t h w) d", t=t))
        return made


class STCv35(STC):
    """STC without padding, as in VideoLLaMA2.1."""

    @dataclass(frozen=True, kw_only=True)
    class Config(STC.Config):
        """STC with another default variant."""

        variant: Variant = "stc_connector_v35"


class STP(STC):
    """STC with an average instead of the 3D convolution."""

    @dataclass(frozen=True, kw_only=True)
    class Config(STC.Config):
        """STC with another default variant."""

        variant: Variant = "stp_connector"


class SpatialConv(STC):
    """A strided convolution within frames (the official padding adds a frame at each end), no stages."""

    @dataclass(frozen=True, kw_only=True)
    class Config(STC.Config):
        """STC with another default variant and depth."""

        depth: int = 0
        variant: Variant = "spatial_conv"


class SpatialPool(STC):
    """An average within frames, no stages."""

    @dataclass(frozen=True, kw_only=True)
    class Config(STC.Config):
        """STC with another default variant and depth."""

        depth: int = 0
        variant: Variant = "spatial_pool"
