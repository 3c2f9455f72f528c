"""The interface of preprocessing (what a model does to the frames of a clip), and the table of implementations.

SHAPES  t frames, h w pixels, c colour channels (RGB), H W pixels of the tower.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.registry import Table
from videollm.errors import UserError
from videollm.types import FrameBatch
from videollm.video.preprocessing.frame_size import FrameSize

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEFAULT: Final = "square"


class Shape(NamedTuple):
    """Shape of a group of pictures."""

    t: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pictures that share one set of visual tokens."""

    pictures: NDArray[Any]
    """(t H W c) uint8, or float32 of the same range where values may not be rounded."""
    seconds: tuple[float, ...]
    """Of each picture; negative for a still image."""
    before: str = ""
    """Written in front of its visual tokens."""
    after: str = ""
    """Written behind them."""
    labels: tuple[tuple[str, str], ...] = ()
    """Written in front of and behind the tokens of each frame of features, in the place of `before` and `after`, where
    the connector keeps frames apart."""
    clock: tuple[float, ...] = ()
    """Seconds of each frame of features on the axis of the LLM's positions; () where frames are numbered."""


class Preprocessing(ABC):
    """Preprocessing of frames: a frozen dataclass of settings that can be written as JSON."""

    @abstractmethod
    def frame_size(self) -> FrameSize | None:
        """Return the frame size to ask of the decoder; None is full frames."""

    @abstractmethod
    def groups(self, batch: FrameBatch) -> list[Group]:
        """Make the pictures of a clip, grouped by the visual tokens that they share.

        Where the tower makes one frame of features of several pictures, a group has a multiple of so many.
        """

    @abstractmethod
    def shapes(self, num_frames: int, height: int, width: int, *, packing: int = 1, still: bool = False) -> list[Shape]:
        """Return the shapes of the groups of a clip, without making them.

        Args:
            num_frames: of the clip.
            height: pixels, as decoded.
            width: pixels, as decoded.
            packing: frames that share one set of visual tokens, where the sampling packs.
            still: the frame is a still image.
        """

    @abstractmethod
    def pixels(self, pictures: NDArray[Any], device: torch.device | str = "cpu") -> Tensor:
        """Normalise pictures of a group: (t H W c) -> (t c H W) float32 on the device."""

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Preprocessing:
        """Build what a model's config.json describes: `kind`, a name in PREPROCESSINGS, and the fields of that class.

        Raises:
            UserError: there is no such kind, it has no such setting, or the value does not suit.
        """
        settings = {"kind": DEFAULT, **values}
        cls = PREPROCESSINGS.load(settings.pop("kind"))
        try:
            return cls(**settings)
        except TypeError as error:
            raise UserError(f"Preprocessing {cls.__name__} cannot be built from {settings}: {error}.") from error


PREPROCESSINGS: Final[Table[Preprocessing]] = Table(
    noun="preprocessing",
    group="videollm.preprocessings",
    base="videollm.video.preprocessing.base:Preprocessing",
    error=UserError,
    builtin={
        "square": "videollm.video.preprocessing.square:Square",
        "float_square": "videollm.video.preprocessing.float_square:FloatSquare",
        "slices": "videollm.video.preprocessing.slices:Slices",
        "budget": "videollm.video.preprocessing.budget:Budget",
        "equal_area": "videollm.video.preprocessing.equal_area:EqualArea",
        "padded": "videollm.video.preprocessing.padded:Padded",
        "timed_square": "videollm.video.preprocessing.timed_square:TimedSquare",
    },
)


def normalise(
    pictures: NDArray[Any],
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str,
    *,
    fused: bool = False,
) -> Tensor:
    """Divide by 255, take off the mean, divide by std: (t H W c) -> (t c H W) float32, on the device.

    Args:
        fused: scale mean and std by 255 instead, as transformers' processors on torch do.
    """
    import torch  # not above: whoever only asks for a frame size need not wait for it
    from einops import rearrange

    from videollm.upload import upload

    raw = upload(torch.from_numpy(np.ascontiguousarray(pictures)), device)
    pixels = rearrange(raw, "t h w c -> t c h w").contiguous().float()  # moved while it is small
    means, stds = (rearrange(torch.tensor(values, device=device), "c -> c 1 1") for values in (mean, std))
    if fused:
        return pixels.sub_(means * 255).div_(stds * 255)
    return pixels.div_(255).sub_(means).div_(stds)
