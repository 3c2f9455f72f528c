"""The interface of a vision tower: pixels of frames in, patch features out.

SHAPES  f frames (of any number of clips), c channels, H W pixels, h w patches, d features; p = f / temporal_patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from videollm.errors import UserError


class VisionTower(nn.Module):
    """A ViT cut off after the layer whose features the connector reads."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Tower settings in a model's config.json."""

        config: Mapping[str, Any]
        """Configuration of the whole ViT, as transformers writes it."""
        select_layer: int = -2
        """Hidden state whose features the connector reads; -1 is that of the last layer."""

    width: int
    """d, width of the features."""
    patch_size: int
    """Pixels per side of a patch."""
    temporal_patch: int = 1
    """Consecutive frames that make one frame of features."""
    offers: tuple[str, ...] = ()
    """Names of the further features that `encode` can give; `layer:12` is hidden state 12."""

    def __init__(self, config: Config) -> None:
        super().__init__()

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames, each (or each `temporal_patch` of them) by itself.

        Args:
            pixels: (f c H W), normalised.
        Returns:
            (p h w d), rows and columns of patches in raster order.
        """
        raise NotImplementedError

    def encode(self, pixels: Tensor, needs: Sequence[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode frames, and give the further features that a connector needs.

        Args:
            pixels: (f c H W), normalised.
            needs: names among `offers`.
        Returns:
            (p h w d), as `forward`; name -> (p h' w' d').
        """
        return self(pixels), {}

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Count the patches (h, w) of a frame of `height` x `width` pixels."""
        return height // self.patch_size, width // self.patch_size


def layers_to_keep(num_layers: int, select_layer: int) -> int:
    """Count the encoder layers below hidden state `select_layer`; -2 leaves out the last one.

    Raises:
        UserError: the tower has no such hidden state.
    """
    keep = num_layers + 1 + select_layer if select_layer < 0 else select_layer
    if not 1 <= keep <= num_layers:
        raise UserError(
            f"select_layer {select_layer} is outside the tower's {num_layers} layers. "
            f"Give -1 (last) to {-num_layers}, or 1 to {num_layers}."
        )
    return keep


def shortened(config: Mapping[str, Any], select_layer: int) -> dict[str, Any]:
    """Copy a transformers vision config without the layers after the selected one."""
    return {**config, "num_hidden_layers": layers_to_keep(config["num_hidden_layers"], select_layer)}
