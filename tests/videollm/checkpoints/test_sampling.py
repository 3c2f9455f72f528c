"""Samplers of the families, against the official formulae written down once more."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from videollm.checkpoints.minicpmv import VERSIONS
from videollm.video.sampling import Sampling, Timeline, sample

RATES = (8.0, 12.5, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 7.3)
DURATIONS = (0.04, 0.5, 1.0, 3.7, 6.0, 29.9, 30.0, 59.94, 60.0, 61.3, 107.9, 120.0, 180.0, 601.2, 3600.0)
TABLE = [(round(d * r) or 1, r) for d, r in product(DURATIONS, RATES)]


def official(
    num_frames: int, fps: float, choose_fps: float, most: int, max_packing: int
) -> tuple[list[int], list[int], int]:
    duration = num_frames / fps
    if choose_fps * int(duration) <= most:
        packing = 1
        count = round(min(choose_fps, round(fps)) * min(most, duration))
    else:
        packing = math.ceil(duration * choose_fps / most)
        if packing <= max_packing:
            count = round(duration * choose_fps)
        else:
            count, packing = round(most * max_packing), max_packing
    gap = num_frames / max(count, 1)
    indices = [int(i * gap + gap / 2) for i in range(max(count, 1))]
    scale = np.arange(0, duration, 0.1)
    times = [min(scale, key=lambda t: abs(t - i / fps)) for i in indices] if len(scale) < 700 else []
    return indices, [int(np.int32(t / 0.1)) for t in times], packing


def timeline(num_frames: int, fps: float) -> Timeline:
    return Timeline(num_frames=num_frames, fps=fps, duration_seconds=num_frames / fps)


@pytest.mark.parametrize("choose_fps", [3.0, 5.0, 2.0])
@pytest.mark.parametrize("max_packing", [3, 6])
def test_minicpmv_4_5(choose_fps: float, max_packing: int) -> None:
    sampling = Sampling(**{**VERSIONS["4.5"].sampling, "choose_fps": choose_fps, "max_packing": max_packing})
    for num_frames, fps in TABLE:
        indices, ids, packing = official(num_frames, fps, choose_fps, 180, max_packing)
        made = sample(sampling, timeline(num_frames, fps))
        assert (list(made.indices), made.packing) == (indices, packing), (num_frames, fps)
        if ids:
            ties = [
                abs(i / fps * 10 % 1 - 0.5) < 1e-9 for i in indices
            ]  # halfway, where the first or the last is nearest
            assert all(a == b or tie for a, b, tie in zip(made.temporal_ids, ids, ties, strict=True)), (num_frames, fps)


@pytest.mark.parametrize(
    ("seconds", "num_frames", "packing"), [(30, 150, 1), (60, 300, 2), (108, 540, 3), (110, 540, 3), (600, 540, 3)]
)
def test_minicpmv_4_5_at_five_frames_a_second(seconds: int, num_frames: int, packing: int) -> None:
    sampling = Sampling(**{**VERSIONS["4.5"].sampling, "choose_fps": 5.0})
    made = sample(sampling, timeline(seconds * 30, 30.0))
    assert (len(made.indices), made.packing) == (num_frames, packing)


@pytest.mark.parametrize("force", [1, 2, 3, 4, 5, 6])
def test_minicpmv_4_5_packs_of_one_to_six(force: int) -> None:
    sampling = Sampling(**{**VERSIONS["4.5"].sampling, "max_packing": 6, "force_packing": force})
    assert sample(sampling, timeline(180, 30.0)).packing == force


def test_minicpmv_2_6() -> None:
    sampling = Sampling(**VERSIONS["2.6"].sampling)
    for num_frames, fps in TABLE:
        frames = list(range(0, num_frames, round(fps)))
        if len(frames) > 64:
            gap = len(frames) / 64
            frames = [frames[int(i * gap + gap / 2)] for i in range(64)]
        assert list(sample(sampling, timeline(num_frames, fps)).indices) == frames


@pytest.mark.parametrize("n", [8, 16])
def test_videollama2(n: int) -> None:
    for num_frames, fps in TABLE:
        segment = (num_frames - 1) / n
        expected = [round((segment * i + segment * (i + 1)) / 2 + 1e-6) for i in range(n)]
        assert list(sample(Sampling(num_frames=n), timeline(num_frames, fps)).indices) == expected
    assert sample(Sampling(num_frames=8), timeline(300, 30.0)).indices == (19, 56, 93, 131, 168, 206, 243, 280)
