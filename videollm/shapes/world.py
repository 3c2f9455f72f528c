"""The world: scenes of shapes that move, grow, change, come and go, under a camera that pans and cuts.

Time u and coordinates run from 0 to 1; a world is a pure function of time, drawn at any size.

SHAPES  t frames, h w pixels, p patches per side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

COLOURS: Final = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (45, 80, 230),
    "yellow": (240, 215, 40),
    "purple": (150, 50, 190),
    "orange": (250, 135, 20),
}
BACKGROUNDS: Final = {"black": (15, 15, 15), "gray": (125, 125, 125), "white": (240, 240, 240)}
SHAPES: Final = ("circle", "square", "triangle", "cross")

Image = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A coloured shape; pairs hold the value at the start and at the end of its scene."""

    shape: str
    colour: str
    x: tuple[float, float]
    y: tuple[float, float]
    radius: tuple[float, float]
    visible: tuple[float, float] = (0.0, 1.0)
    """Time of the clip during which it is seen."""
    turns: str | None = None
    """Colour from the middle of the clip on."""

    @property
    def name(self) -> str:
        """`red circle`."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the camera shows between two cuts."""

    background: str
    things: tuple[Thing, ...]
    span: tuple[float, float] = (0.0, 1.0)
    """Time of the clip at which it starts and ends."""
    pan: tuple[float, float] = (0.0, 0.0)
    """Distance the camera travels to the right and down, in screens."""


World = tuple[Scene, ...]


def _distance(shape: str, x: Floats, y: Floats, r: float) -> Floats:
    """Compute the signed distance to the outline, negative inside."""
    if shape == "circle":
        return np.hypot(x, y) - r
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.86 * r
    if shape == "triangle":
        return np.maximum(0.87 * np.abs(x) - 0.5 * y, y) - 0.55 * r
    arm = 0.36 * r
    return np.minimum(np.maximum(np.abs(x) - r, np.abs(y) - arm), np.maximum(np.abs(y) - r, np.abs(x) - arm))


def coverage(world: World, u: float, size: int) -> tuple[Scene, list[tuple[Thing, str, Floats]]]:
    """Return the scene at time u and, for each visible thing, its colour and the share of every pixel covered (h w)."""
    scene = next(s for s in world if u < s.span[1] or s is world[-1])
    v = (u - scene.span[0]) / (scene.span[1] - scene.span[0])
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size)[None, :]
    seen = []
    for thing in scene.things:
        if not thing.visible[0] <= u < thing.visible[1]:
            continue
        at = [a + (b - a) * v for a, b in (thing.x, thing.y, thing.radius)]
        x = axis - np.float32(at[0] - scene.pan[0] * v)
        y = axis.T - np.float32(at[1] - scene.pan[1] * v)
        mask = np.clip(0.5 - _distance(thing.shape, x, y, at[2]) * size, 0, 1)
        seen.append((thing, thing.turns if thing.turns and u >= 0.5 else thing.colour, mask.astype(np.float32)))
    return scene, seen


def draw(world: World, u: float, size: int) -> Image:
    """Draw the frame at time u, (h w 3) RGB."""
    scene, seen = coverage(world, u, size)
    frame = np.empty((size, size, 3), np.float32)
    frame[:] = BACKGROUNDS[scene.background]
    for _, colour, mask in seen:
        frame += mask[..., None] * (np.asarray(COLOURS[colour], np.float32) - frame)
    return (frame + 0.5).astype(np.uint8)


def times(num_frames: int) -> list[float]:
    """Return the times in the middle of num_frames equal segments."""
    return [(i + 0.5) / num_frames for i in range(num_frames)]


def draw_clip(world: World, at: Sequence[float], size: int) -> Image:
    """Draw the frames at the times given, (t h w 3) RGB."""
    return np.stack([draw(world, u, size) for u in at])


def patch_labels(world: World, u: float, size: int, patch: int) -> NDArray[np.int64]:
    """Label each patch, (p p 5): shape and colour (0 is none, then the tables' order), background, row, column."""
    scene, seen = coverage(world, u, size)
    p = size // patch
    labels = np.zeros((p, p, 5), np.int64)
    labels[..., 3], labels[..., 4] = np.mgrid[:p, :p]
    labels[..., 2] = list(BACKGROUNDS).index(scene.background)
    best = np.full((p, p), 0.12, np.float32)
    for thing, colour, mask in seen:
        share = mask.reshape(p, patch, p, patch).mean((1, 3))
        more = share > best
        best = np.where(more, share, best)
        labels[more, 0] = 1 + SHAPES.index(thing.shape)
        labels[more, 1] = 1 + list(COLOURS).index(colour)
    return labels
