"""Pretrain a vision tower on the shapes world: each patch says what it shows, and where it is."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from videollm.shapes.stories import tell
from videollm.shapes.world import BACKGROUNDS, COLOURS, SHAPES, Image, draw, patch_labels
from videollm.vision.tower import VisionTower

NUM_CLASSES = (1 + len(SHAPES), 1 + len(COLOURS), len(BACKGROUNDS))


def worn(frames: Image, rng: np.random.Generator) -> Image:
    """Frames (t h w 3) as a codec and a camera might leave them: blurred, noisy, brighter or darker."""
    x: NDArray[np.floating[Any]] = frames.astype(np.float32)
    if rng.random() < 0.5:
        k = rng.uniform(0, 0.25)
        x = (1 - k) * x + k / 4 * sum(np.roll(x, s, a) for a in (1, 2) for s in (-1, 1))
    x = x * rng.uniform(0.92, 1.08) + rng.uniform(-6, 6) + rng.normal(0, rng.uniform(0, 5), x.shape)
    return np.clip(x, 0, 255).astype(np.uint8)


class PatchPretraining(nn.Module):
    """A tower with one linear head that labels patches; the head is thrown away afterwards."""

    def __init__(self, tower: VisionTower, size: int) -> None:
        super().__init__()
        self.tower = tower
        self.num_classes = (*NUM_CLASSES, *tower.grid(size, size))
        self.head = nn.Sequential(nn.LayerNorm(tower.width), nn.Linear(tower.width, sum(self.num_classes)))

    def forward(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the share of shape patches labelled wholly right.

        Args:
            pixels: (f c H W).
            labels: (f h w 5), see `patch_labels`.
        """
        scores = self.head(self.tower(pixels)).split(self.num_classes, -1)
        loss = sum(cross_entropy(s.flatten(0, 2), labels[..., i].flatten()) for i, s in enumerate(scores))
        right = torch.stack([s.argmax(-1) == labels[..., i] for i, s in enumerate(scores)]).all(0)
        return torch.as_tensor(loss), right[labels[..., 0] > 0].float().mean()


def frames_and_labels(seed: int, step: int, num_frames: int, size: int, patch_size: int) -> tuple[Image, Tensor]:
    """Frames of random moments of random stories (f h w 3) with their patch labels (f h w 5)."""
    rng, noise = random.Random(f"{seed}/{step}"), np.random.default_rng((seed, step))
    frames, labels = [], []
    for _ in range(num_frames):
        world, u = tell(rng.getrandbits(48)).world, rng.random()
        frames.append(worn(draw(world, u, size)[None], noise)[0])
        labels.append(torch.from_numpy(patch_labels(world, u, size, patch_size)))
    return np.stack(frames), torch.stack(labels)
