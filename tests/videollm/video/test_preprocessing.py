from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from videollm.video.decoding.decode import decode
from videollm.video.preprocessing.frame_size import FrameSize, target_size
from videollm.video.preprocessing.square import Square
from videollm.video.sampling import Sampling


@pytest.mark.parametrize("mode", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (48, 48), (31, 200)])
def test_exact_path_equals_pil(mode: str, shape: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    pixels = Square(size=48, mode=mode, exact=True)(frames)  # type: ignore[arg-type]
    for frame, got in zip(frames, pixels, strict=True):
        image = Image.fromarray(frame)
        if mode == "squash":
            image = image.resize((48, 48), Image.Resampling.BICUBIC)
        else:
            short = min(image.size)
            size = tuple(48 if s == short else int(48 * s / short) for s in image.size)
            image = image.resize(size, Image.Resampling.BICUBIC)
            left, top = (image.width - 48) // 2, (image.height - 48) // 2
            image = image.crop((left, top, left + 48, top + 48))
        expected = (torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255 - 0.5) / 0.5
        assert torch.allclose(got, expected)


@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_decoder_scaling_is_close_to_pil(mode: str, base: Path) -> None:
    fast, exact = Square(size=48, mode=mode), Square(size=48, mode=mode, exact=True)  # type: ignore[arg-type]
    sampling = Sampling(num_frames=4)
    a, b = (t(decode(str(base), sampling, size=t.frame_size()).frames) for t in (fast, exact))
    assert a.shape == b.shape == (4, 3, 48, 48)
    assert (a - b).abs().mean() * 127.5 < 3


def test_mean_and_std() -> None:
    pixels = Square(size=2, mean=(0, 0.5, 1), std=(1, 0.5, 2))(np.full((1, 2, 2, 3), 255, np.uint8))
    assert pixels[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]


def test_no_frames() -> None:
    assert Square(size=4)(np.empty((0, 4, 4, 3), np.uint8)).shape == (0, 3, 4, 4)


def test_shortest_edge_keeps_the_ratio() -> None:
    edge = FrameSize(height=336, width=336, mode="shortest_edge")
    assert target_size(edge, 1080, 1920) == (336, 597)
    assert target_size(edge, 1920, 1080) == (597, 336)
    assert target_size(None, 5, 7) == (5, 7)


@pytest.mark.parametrize("multiple", [14, 56])
@pytest.mark.parametrize("ratio", [1.0, 1.5, 16 / 9, 2.0, 2.39, 0.5625, 0.4])
def test_frames_of_an_area_are_not_scaled_again(ratio: float, multiple: int) -> None:
    area = FrameSize(height=448, width=448, mode="area", multiple=multiple)
    scaled = target_size(area, 1080, round(1080 * ratio))
    assert target_size(area, *scaled) == scaled


def test_area_keeps_the_ratio() -> None:
    area = FrameSize(height=448, width=448, mode="area", multiple=56)
    assert target_size(area, 1080, 1920) == (336, 616)
    assert target_size(area, 1000, 2000) == (336, 616)
    assert target_size(area, 180, 376) == (336, 672)


@pytest.mark.parametrize("frames", [np.zeros((2, 4, 4), np.uint8), np.zeros((1, 4, 4, 3), np.float32)])
def test_wrong_frames_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        Square()(frames)
