"""Pictures of scenes to find cuts in, as arrays: textures that a camera or a hand moves over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
HEIGHT, WIDTH = 36, 64


def texture(seed: int, height: int = 144, width: int = 256) -> NDArray[np.float32]:
    """(h w c) patches of colour, large and small, as a room or a landscape has them."""
    rng = np.random.default_rng(seed)
    made = np.full((height, width, 3), rng.uniform(40, 200, 3), np.float32)
    for side in (96, 48, 24, 12):
        coarse = rng.normal(0, 28, (height // side + 2, width // side + 2, 3))
        made += np.kron(coarse, np.ones((side, side, 1)))[:height, :width]
    return np.clip(made, 0, 255)


def view(scene: NDArray[np.float32], top: float, left: float, height: float, width: float) -> Frame:
    """(h w c) what a camera sees of a scene; places and sizes in its pixels."""
    rows = (top + (np.arange(HEIGHT * 3) + 0.5) * height / (HEIGHT * 3)).astype(int)
    columns = (left + (np.arange(WIDTH * 3) + 0.5) * width / (WIDTH * 3)).astype(int)
    seen = scene[np.ix_(rows, columns)].reshape(HEIGHT, 3, WIDTH, 3, 3).mean(axis=(1, 3))
    return np.clip(seen + 0.5, 0, 255).astype(np.uint8)


def still(seed: int, count: int = 40) -> list[Frame]:
    return [view(texture(seed), 36, 64, 72, 128)] * count


def pan(count: int = 60, seed: int = 1) -> list[Frame]:
    return [view(texture(seed), 36, 128 * i / count, 72, 128) for i in range(count)]


def zoom(count: int = 60, seed: int = 2) -> list[Frame]:
    sizes = [1 - 0.6 * i / count for i in range(count)]
    return [view(texture(seed), 72 - 72 * s, 128 - 128 * s, 144 * s, 256 * s) for s in sizes]


def hand(count: int = 90, seed: int = 3) -> list[Frame]:
    """A hand that comes into a still picture, waves through all of it, and leaves."""
    frames = []
    for i in range(count):
        scene = texture(seed)[36:108, 64:192].copy()
        x = int(64 + 90 * np.sin(i / 7))
        scene[20:72, max(0, x - 14) : max(0, x + 14)] = (205, 160, 130)
        frames.append(view(scene, 0, 0, 72, 128))
    return frames


def flash(before: int = 20, length: int = 3, seed: int = 4) -> list[Frame]:
    """A still picture that is white for some frames."""
    white = np.full((HEIGHT, WIDTH, 3), 250, np.uint8)
    return [*still(seed, before), *[white] * length, *still(seed, 30)]


def dissolve(a: Frame, b: Frame, length: int) -> list[Frame]:
    """Frames between two, each a mixture."""
    shares = [(i + 1) / (length + 1) for i in range(length)]
    return [(a * (1 - s) + b * s + 0.5).astype(np.uint8) for s in shares]


def noisy(frames: Iterable[Frame], sigma: float = 2.0) -> list[Frame]:
    """The same frames as a camera in a dim room takes them."""
    rng = np.random.default_rng(0)
    return [np.clip(f + rng.normal(0, sigma, f.shape), 0, 255).astype(np.uint8) for f in frames]


def timed(frames: Sequence[Frame], fps: float = 30.0) -> Iterator[tuple[float, Frame]]:
    return ((i / fps, frame) for i, frame in enumerate(frames))
