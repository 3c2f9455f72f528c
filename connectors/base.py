"""The interface of a temporal connector: patch features of a clip in, visual tokens for the LLM out.

SHAPES  b batch, t frames, h w patch grid, d encoder features, n visual tokens, d_llm LLM width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from connectors.errors import ConnectorError


@dataclass(frozen=True, kw_only=True)
class ClipFeatures:
    """Encoder features of one clip (or of one pack of its frames), frames in time order."""

    frames: tuple[Tensor, ...]
    """t tensors (h w d); the grids of one clip may differ (images cut into slices)."""
    seconds: Tensor
    """(t,) float64 presentation times; negative for a still image, which has no time."""

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of every frame."""
        return tuple((f.shape[0], f.shape[1]) for f in self.frames)


class Connector(nn.Module):
    """Base of every connector: subclass it, give it a `Config`, `num_tokens` and `forward`.

    The host calls `connect`, which batches clips of equal shape through `forward`; a connector never
    sees padding unless it overrides `connect` to batch unequal clips itself.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters; a subclass adds fields, which reach `--connector-config` by themselves."""

        d_vision: int
        """Width of the encoder features."""
        d_llm: int
        """Width of the LLM's embeddings."""

    source: ClassVar[str] = ""
    """Paper or repository the connector comes from."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def check_size(self, t: int, h: int, w: int, *, least: tuple[int, int, int] = (1, 1, 1)) -> None:
        """Raise ConnectorError (a ValueError) unless there are at least `least` frames, rows and columns of patches."""
        if any(size < smallest for size, smallest in zip((t, h, w), least, strict=True)):
            raise ConnectorError(
                f"{type(self).__name__} got t={t} frames of h={h} by w={w} patches, expected at least "
                f"t={least[0]}, h={least[1]}, w={least[2]}. Sample more frames or use larger ones."
            )

    def num_tokens(self, t: int, h: int, w: int) -> int:
        """Count the visual tokens that `forward` makes of t frames of h x w patches, without running it.

        Raises:
            ValueError: t, h or w is smaller than the connector can take.
        """
        raise NotImplementedError

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor:
        """Merge patch features over time and space.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t) float64, presentation time of each frame; negative for a still image.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w).
        """
        raise NotImplementedError

    def connect(self, clips: Sequence[ClipFeatures]) -> list[Tensor]:
        """Make the visual tokens (n d_llm) of every clip, in the order given.

        Clips of one shape go through one `forward`, so that a batch equals single runs.

        Raises:
            ConnectorError: the frames of one clip have different grids.
        """
        groups: dict[tuple[int, tuple[int, int]], list[int]] = {}
        for i, clip in enumerate(clips):
            if len(set(clip.grids)) != 1:
                raise ConnectorError(
                    f"{type(self).__name__} got frames with grids {sorted(set(clip.grids))} in one clip, expected "
                    "one grid. Use a connector that takes ragged frames (resampler3d), or resize the frames alike."
                )
            groups.setdefault((len(clip.frames), clip.grids[0]), []).append(i)
        tokens: list[Tensor] = [torch.empty(0)] * len(clips)
        for members in groups.values():
            patches = torch.stack([torch.stack(clips[i].frames) for i in members])
            seconds = torch.stack([clips[i].seconds for i in members])
            for i, made in zip(members, self(patches, seconds), strict=True):
                tokens[i] = made
        return tokens
