"""The objective `patches`: a vision tower learns to say of each patch of a shapes world what it shows, and where."""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from videollm.errors import UserError
from videollm.models.trainable import TrainableModel
from videollm.shapes.stories import tell
from videollm.shapes.world import BACKGROUNDS, COLOURS, SHAPES, Image, draw, patch_labels
from videollm.training.objectives.base import Objective
from videollm.video.preprocessing.square import Square
from videollm.vision.tower import VisionTower

NUM_CLASSES: Final = (1 + len(SHAPES), 1 + len(COLOURS), len(BACKGROUNDS))


def worn(frames: Image, rng: np.random.Generator) -> Image:
    """Wear frames (t h w 3) as a codec and a camera might: blurred, noisy, brighter or darker."""
    x: NDArray[np.floating[Any]] = frames.astype(np.float32)
    if rng.random() < 0.5:
        k = rng.uniform(0, 0.25)
        x = (1 - k) * x + k / 4 * sum(np.roll(x, s, a) for a in (1, 2) for s in (-1, 1))
    x = x * rng.uniform(0.92, 1.08) + rng.uniform(-6, 6) + rng.normal(0, rng.uniform(0, 5), x.shape)
    return np.clip(x, 0, 255).astype(np.uint8)


class PatchHead(nn.Module):
    """A tower with one linear head that labels patches; the head is thrown away afterwards."""

    def __init__(self, tower: nn.Module, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.tower = tower
        self.num_classes = (*NUM_CLASSES, *grid)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(self.num_classes)))

    def forward(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss, and the share of shape patches labelled wholly right.

        Args:
            pixels: (f c H W).
            labels: (f h w 5), see `patch_labels`.
        """
        scores = self.head(self.tower(pixels)).split(self.num_classes, -1)
        loss = sum(cross_entropy(s.flatten(0, 2), labels[..., i].flatten()) for i, s in enumerate(scores))
        right = torch.stack([s.argmax(-1) == labels[..., i] for i, s in enumerate(scores)]).all(0)
        return torch.as_tensor(loss), right[labels[..., 0] > 0].float().mean()


class PatchObjective(Objective):
    """Mean cross-entropy of the labels of patches.

    Args:
        model: its tower learns.
        seed: fixes the frames.
        num_frames: frames of a step.
    Raises:
        UserError: the model takes no squares.
    """

    def __init__(self, model: TrainableModel, *, seed: int, num_frames: int) -> None:
        self.transform, self.tower = square_transform(model), model.tower
        assert isinstance(self.tower, VisionTower)
        size = self.transform.size
        head = PatchHead(self.tower, self.tower.width, self.tower.grid(size, size)).to(model.device)
        super().__init__(model, head)
        self.seed, self.num_frames, self.patch_size = seed, num_frames, self.tower.patch_size

    def batch(self, step: int) -> tuple[Image, Tensor]:
        """Draw the frames of a step and their labels, see `Objective.batch`."""
        return frames_and_labels(self.seed, step, self.num_frames, self.transform.size, self.patch_size)

    def loss(self, batch: tuple[Image, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss, and the share of shape patches labelled wholly right."""
        frames, labels = batch
        device = self.model.device
        value, right = self.module(self.transform.pixels(self.transform.fit(frames), device), labels.to(device))
        return value, {"patch": float(right)}


def square_transform(model: TrainableModel) -> Square:
    """Return the transform of a model that takes squares, as shapes are drawn.

    Raises:
        UserError: it takes none.
    """
    if not isinstance(model.transform, Square):
        raise UserError(f"Shapes are drawn as squares, which {model.name} does not take. Train on a manifest.")
    return model.transform


def frames_and_labels(seed: int, step: int, num_frames: int, size: int, patch_size: int) -> tuple[Image, Tensor]:
    """Draw random moments of random stories: frames (f h w 3) and their patch labels (f h w 5)."""
    rng, noise = random.Random(f"{seed}/{step}"), np.random.default_rng((seed, step))
    frames, labels = [], []
    for _ in range(num_frames):
        world, u = tell(rng.getrandbits(48)).world, rng.random()
        frames.append(worn(draw(world, u, size)[None], noise)[0])
        labels.append(torch.from_numpy(patch_labels(world, u, size, patch_size)))
    return np.stack(frames), torch.stack(labels)
