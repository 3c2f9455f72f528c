"""The interface of a temporal connector: patch features of a clip in, visual tokens for the LLM out.

SHAPES  b batch, t frames, h w patch grid, d encoder features, n visual tokens, d_llm LLM width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

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
    extra: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    """What else the connector `needs` of every frame, by name: t tensors (h' w' d') each."""
    question: Tensor | None = None
    """(q d_llm), the LLM's embeddings of the question, for a connector that `asks`; None where there is none."""

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of every frame."""
        return tuple((f.shape[0], f.shape[1]) for f in self.frames)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Visual tokens of one clip, with what a connector may know of them."""

    tokens: Tensor
    """(n d_llm)."""
    places: Tensor | None = None
    """(n 3): frame, row and column of each token in the input's patches, fractions allowed, frames not falling."""
    deep: Tensor | None = None
    """(l n d_llm), added to the hidden states of the visual tokens after each of the LLM's first l layers."""

    @staticmethod
    def of(made: Tensor | Tokens) -> Tokens:
        """Return what a connector made of a clip as Tokens."""
        return made if isinstance(made, Tokens) else Tokens(tokens=made)


class Connector(nn.Module):
    """Base of every connector: subclass it, give it a `Config`, `grid` or `num_tokens`, and `forward`.

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
    varies: ClassVar[bool] = False
    """Whether the number of tokens depends on the features; `num_tokens` is then the most that there can be."""
    needs: tuple[str, ...] = ()
    """Names of further features in `ClipFeatures.extra`, which the tower must offer; `layer:12` is hidden state 12."""
    asks: ClassVar[bool] = False
    """Whether the tokens depend on the question: each question on a clip then has visual tokens of its own."""

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

    def grid(self, t: int, h: int, w: int) -> tuple[int, int, int] | None:
        """Return the grid (t', h', w') in which the tokens of t frames of h x w patches lie; None where there is none.

        The host writes a model's words for single frames between the tokens where t' == t, and gives each token the
        position of its place where the LLM's positions have rows and columns.

        Raises:
            ValueError: t, h or w is smaller than the connector can take.
        """
        return None

    def num_tokens(self, t: int, h: int, w: int) -> int:
        """Count the visual tokens that `forward` makes of t frames of h x w patches, without running it.

        Raises:
            ValueError: t, h or w is smaller than the connector can take.
        """
        grid = self.grid(t, h, w)
        if grid is None:
            raise NotImplementedError(f"{type(self).__name__} has neither num_tokens nor grid; write one of them.")
        return prod(grid)

    def forward(self, patches: Tensor, seconds: Tensor) -> Tensor | list[Tensor] | list[Tokens]:
        """Merge patch features over time and space.

        Args:
            patches: (b t h w d), encoder features, frames in time order.
            seconds: (b t) float64, presentation time of each frame; negative for a still image.
        Returns:
            (b n d_llm), time-major; n == self.num_tokens(t, h, w). Or a list of b (n d_llm), whose n may differ where
            the connector `varies`, or of b Tokens. A connector that `needs` further features is given them as
            `extra`, name -> (b t h' w' d'); one that `asks`, `questions`, b (q d_llm) or None.
        """
        raise NotImplementedError

    def connect(self, clips: Sequence[ClipFeatures]) -> list[Tensor] | list[Tokens]:
        """Make the visual tokens of every clip, (n d_llm) or Tokens, in the order given.

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
        tokens: dict[int, Any] = {}
        for members in groups.values():
            patches = torch.stack([torch.stack(clips[i].frames) for i in members])
            seconds = torch.stack([clips[i].seconds for i in members])
            further: dict[str, object] = {}
            if self.needs:
                further["extra"] = {
                    n: torch.stack([torch.stack(clips[i].extra[n]) for i in members]) for n in self.needs
                }
            if self.asks:
                further["questions"] = [clips[i].question for i in members]
            for i, made in zip(members, self(patches, seconds, **further), strict=True):
                tokens[i] = made
        return [tokens[i] for i in range(len(clips))]
