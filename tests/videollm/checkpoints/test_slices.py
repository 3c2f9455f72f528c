"""Grids, sizes and schema text of MiniCPM-V's pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.official import Golden
from videollm.types import FrameBatch
from videollm.video.preprocessing.slices import Slices, slice_grid

SIZES = [  # height, width, max_slices -> grid (rows, columns), thumbnail (H W), slice (H W); from the official formulae
    (720, 1280, 1, None, (24, 43), None),
    (1080, 1920, 1, None, (24, 43), None),
    (480, 640, 1, None, (28, 37), None),
    (448, 448, 9, None, (32, 32), None),
    (100, 100, 9, None, (32, 32), None),
    (720, 1280, 9, (2, 3), (24, 43), (29, 35)),
    (1280, 720, 9, (3, 2), (43, 24), (35, 29)),
    (720, 1280, 2, (1, 2), (24, 43), (34, 30)),
    (300, 1000, 9, (1, 3), (18, 58), (30, 34)),
    (3000, 3000, 9, (3, 3), (32, 32), (32, 32)),
]


@pytest.mark.parametrize(("height", "width", "most", "grid", "thumbnail", "piece"), SIZES)
def test_grids_and_sizes(height, width, most, grid, thumbnail, piece) -> None:
    assert slice_grid(height, width, most, 448) == grid
    transform = Slices(max_slices=most, max_slices_of_frames=most)
    shapes = transform.shapes(1, height, width, still=True)
    assert [(h // 14, w // 14) for _, h, w in shapes] == [
        thumbnail,
        *([piece] * (0 if grid is None else grid[0] * grid[1])),
    ]
    frame = np.zeros((1, height, width, 3), np.uint8)
    groups = transform.groups(FrameBatch(frames=frame, indices=(0,), seconds=(0.0,), model_seconds=(-1.0,)))
    assert [g.pictures.shape[:3] for g in groups] == shapes
    assert all(g.seconds == (-1.0,) for g in groups)


def test_slices_are_pieces_of_the_refined_picture() -> None:
    rng = np.random.default_rng(0)
    frame = np.asarray(Image.fromarray(rng.integers(0, 256, (45, 80, 3), np.uint8)).resize((1280, 720)))
    batch = FrameBatch(frames=frame[None], indices=(0,), seconds=(0.0,), model_seconds=(-1.0,))
    thumbnail, *pieces = Slices().groups(batch)
    whole = np.asarray(Image.fromarray(frame).resize((3 * 490, 2 * 406), Image.Resampling.BICUBIC))
    assert np.array_equal(pieces[4].pictures[0], whole[406:, 490:980])
    assert np.array_equal(thumbnail.pictures[0], np.asarray(Image.fromarray(frame).resize((602, 336), 3)))


def test_text_around_a_sliced_image(minicpmv: Golden, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((720, 1280, 3), np.uint8)).save(tmp_path / "image.png")
    model = minicpmv.model
    visual = model.encode([model.decode(tmp_path / "image.png")])[0]
    text = model.prompt("Why?", visual.layout)[1]
    row = "<slice><video></slice>" * 3
    content = f"<image_id>0</image_id><image><video></image>{row}\n{row}\nWhy?"
    assert text == f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert len(visual.tokens) == 7 * 64 == model.num_visual_tokens(1, 720, 1280, still=True)


def test_text_around_packs(minicpmv: Golden) -> None:
    frames = np.zeros((7, 336, 602, 3), np.uint8)
    batch = FrameBatch(
        frames=frames, indices=tuple(range(7)), seconds=(0.0,) * 7, model_seconds=tuple(range(7)), packing=3
    )
    visual = minicpmv.model.encode([batch])[0]
    assert visual.layout == ("<image>", 64, "</image>\n", "<image>", 64, "</image>\n", "<image>", 64, "</image>")
    assert len(visual.tokens) == 192 == minicpmv.model.num_visual_tokens(7, 336, 602, packing=3)


def test_frames_of_2_6_are_cut_and_not_numbered() -> None:
    frames = np.zeros((2, 720, 1280, 3), np.uint8)
    groups = Slices(max_slices_of_frames=2).groups(FrameBatch(frames=frames, indices=(0, 1), seconds=(0.0, 1.0)))
    text = "".join(f"{g.before}.{g.after}" for g in groups)
    frame = "<image>.</image><slice>.</slice><slice>.</slice>"
    assert text == f"{frame}\n{frame}"


def test_six_seconds_at_two_frames_a_second_cost_128_tokens(minicpmv: Golden) -> None:
    assert minicpmv.model.num_visual_tokens(12, 448, 448, packing=6) == 128


def test_temporal_ids_and_grids_are_exact(minicpmv: Golden) -> None:
    batch = minicpmv.decode()
    groups = minicpmv.model.transform.groups(batch)
    ids = [[int(s / 0.1) for s in g.seconds] for g in groups]
    assert ids == json.loads(minicpmv.facts["temporal_ids"])
    grids = [minicpmv.model.tower.grid(*g.pictures.shape[1:3]) for g in groups for _ in g.pictures]
    assert [list(g) for g in grids] == minicpmv.tensors["tgt_sizes"].tolist()
