"""Cases of the suite over families: one entry each, a tiny checkpoint in the published layout with official outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from einops import rearrange
from torch import Tensor

from connectors.mining import PatchMining
from tests.support.official import Golden
from videollm.engines.packing import VISUAL
from videollm.models.protocol import Visual
from videollm.types import FrameBatch
from videollm.vision.minigemini import MiniGeminiTower

Pairs = list[tuple[Tensor, Tensor]]
"""What we make, and what the official code makes."""


@dataclass(frozen=True, kw_only=True)
class FamilyCase:
    """What the suite must know of a family's golden data."""

    folder: str
    """In tests/golden."""
    kinds: tuple[str, ...]
    """Names in FAMILIES that this checkpoint stands for."""
    pixels: Callable[[Golden, FrameBatch], Pairs]
    pixel_bound: float = 0.0
    """Of the largest value; 0 is to the bit."""
    ids: Callable[[list[int]], list[int]]
    """Our ids as the official code writes them."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the sampling, where the golden data was not made with the defaults."""
    flags: tuple[str, ...] = ()
    """The same for the command line."""
    short: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a sampling that takes few frames of long clips."""
    published: str = ""
    """Prefix of the tensors that hold the published behaviour ("release.")."""
    inner: Callable[[Golden, Visual], Pairs] = lambda golden, visual: []
    """Further tensors to be near."""
    swaps: tuple[str, ...] = ("stc", "resampler3d")
    """Connectors to put in the place of the family's own."""


def placeholder(number: int) -> Callable[[list[int]], list[int]]:
    """Official ids with one placeholder a visual token."""
    return lambda ids: [number if i == VISUAL else i for i in ids]


def tag(number: int) -> Callable[[list[int]], list[int]]:
    """Official ids with one placeholder for a span of visual tokens."""
    return lambda ids: [
        number if i == VISUAL else i for n, i in enumerate(ids) if i != VISUAL or n == 0 or ids[n - 1] != VISUAL
    ]


def _whole(golden: Golden, batch: FrameBatch) -> Pairs:
    pictures = golden.model.transform.groups(batch)[0].pictures
    return [(golden.model.transform.pixels(pictures), golden.tensors["pixel_values"])]


def _ends(golden: Golden, batch: FrameBatch) -> Pairs:
    """First and last frames."""
    made = golden.model.transform.pixels(golden.model.transform.groups(batch)[0].pictures)
    first, last = golden.tensors["pixel_values_videos"], golden.tensors["pixel_values_videos_last"]
    return [(made[: len(first)], first), (made[-len(last) :], last)]


def _tower(golden: Golden, visual: Visual) -> Pairs:
    """Features of the first frames."""
    expected = golden.tensors["tower"]
    with torch.inference_mode():
        return [(golden.model.tower(golden.tensors["pixel_values_videos"]), expected)]


def _first_and_last(golden: Golden, batch: FrameBatch) -> Pairs:
    pictures = golden.model.transform.groups(batch)[0].pictures
    return [(golden.model.transform.pixels(pictures[[0, -1]]), golden.tensors["pixel_values"])]


def _strips(golden: Golden, batch: FrameBatch) -> Pairs:
    pictures = golden.model.transform.groups(batch)[0].pictures
    pixels = golden.model.transform.pixels(pictures)
    strips = rearrange(pixels[0], "c (h i) (w j) -> c i (h w j)", i=14, j=14)
    return [(strips, golden.tensors["first_frame_pixels"])]


def _squares(golden: Golden, batch: FrameBatch) -> Pairs:
    """First and last frames, as patches in squares of 2 x 2."""
    made = golden.model.transform.pixels(golden.model.transform.groups(batch)[0].pictures)
    p = golden.model.tower.patch_size
    flat = rearrange(made, "t c (h i p) (w j q) -> (t h w i j) (c p q)", i=2, j=2, p=p, q=p)
    first, last = golden.tensors["pixel_values_videos"], golden.tensors["pixel_values_videos_last"]
    return [(flat[: len(first)], first), (flat[-len(last) :], last)]


def _pairs_of_patches(golden: Golden, batch: FrameBatch) -> Pairs:
    """First and last pairs of frames in Qwen's order of patches: squares of 2 x 2 together."""
    pictures = golden.model.transform.groups(batch)[0].pictures
    p = golden.model.tower.patch_size
    flat = rearrange(golden.model.transform.pixels(pictures),
                     "(t a) c (h i p) (w j q) -> (t h w i j) (c a p q)", a=2, i=2, j=2, p=p, q=p)  # fmt: skip
    first, last = golden.tensors["pixel_values_videos"], golden.tensors["pixel_values_videos_last"]
    return [(flat[: len(first)], first), (flat[-len(last) :], last)]


def _deepstack(golden: Golden, visual: Visual) -> Pairs:
    assert visual.deep is not None
    return [(visual.deep, golden.tensors["deepstack"])]


def _both_sizes(golden: Golden, batch: FrameBatch) -> Pairs:
    """What ConvNeXt sees, and what CLIP sees of it."""
    pixels = golden.model.transform.pixels(golden.model.transform.groups(batch)[0].pictures)
    tower = golden.model.tower
    assert isinstance(tower, MiniGeminiTower)
    small = tower.scale(pixels, tower.side)
    return [(pixels, golden.tensors["pixel_values_aux"]), (small, golden.tensors["pixel_values"])]


@torch.no_grad()
def _s2(golden: Golden, visual: Visual) -> Pairs:
    made = golden.model.tower(golden.tensors["pixel_values"][:1])
    return [(rearrange(made, "1 h w d -> (h w) d"), golden.tensors["s2_features"])]


@torch.no_grad()
def _mined(golden: Golden, visual: Visual) -> Pairs:
    """Features of both towers of the first frame, and what the first found in those of the second."""
    connector = golden.model.connector
    assert isinstance(connector, PatchMining)
    frames, extra = golden.model.tower.encode(golden.tensors["pixel_values_aux"][:1], connector.needs)
    fine = connector.fine([extra[name][0] for name in connector.stages], *frames.shape[1:3])
    found = connector.mine(frames[0], fine) - frames[0]
    return [
        (rearrange(frames, "1 h w d -> (h w) d"), golden.tensors["clip_features"]),
        (fine[0], golden.tensors["aux_features"]),
        (rearrange(found, "h w d -> (h w) d"), golden.tensors["mined_features"]),
    ]


CASES: Final = {
    "videollama2": FamilyCase(
        folder="videollama2_tiny",
        kinds=("videollama2_mistral", "videollama2_mixtral", "videollama2_qwen2"),
        pixels=_whole,
        ids=tag(-201),
        swaps=("resampler3d", "mlp2x_gelu"),
    ),
    "minicpmv45": FamilyCase(
        folder="minicpmv45_tiny",
        kinds=("minicpmv",),
        pixels=_strips,
        ids=placeholder(261),
        sampling={"choose_fps": 3.0, "force_packing": 3},
        flags=("--choose-fps", "3", "--packing", "3"),
        short={"choose_fps": 0.5, "force_packing": 3},
        swaps=("stc", "mlp2x_gelu"),
    ),
    "minicpmv46": FamilyCase(
        folder="minicpmv46_tiny",
        kinds=("minicpmv4_6",),
        pixels=_ends,
        ids=placeholder(303),
        short={"max_num_frames": 3},
        inner=_tower,
    ),
    "minicpmv47": FamilyCase(
        folder="minicpmv47_tiny",
        kinds=("minicpmv4_7",),
        pixels=_ends,
        ids=placeholder(303),
        short={"max_num_frames": 3},
        inner=_tower,
    ),
    "cogvlm2_video": FamilyCase(
        folder="cogvlm2video_tiny",
        kinds=("CogVLMVideoForCausalLM",),
        pixels=_first_and_last,
        pixel_bound=3e-7,
        ids=placeholder(268),
        short={"max_num_frames": 3},
    ),
    "qwen25vl": FamilyCase(
        folder="qwen25vl_tiny",
        kinds=("qwen2_5_vl", "qwen2_vl"),
        pixels=_pairs_of_patches,
        ids=placeholder(269),
        sampling={"spread": "arange"},
        flags=("--sampling", "fps_linspace", "--sampling-config", "spread=arange"),
        short={"choose_fps": 0.5},
        published="release.",
    ),
    "qwen3vl": FamilyCase(
        folder="qwen3vl_tiny",
        kinds=("qwen3_vl", "qwen3_vl_moe"),
        pixels=_pairs_of_patches,
        ids=placeholder(269),
        short={"choose_fps": 0.5},
        published="release.",
        inner=_deepstack,
    ),
    "internvl": FamilyCase(
        folder="internvl3_tiny",
        kinds=("internvl", "internvl_chat"),
        pixels=_ends,
        ids=placeholder(261),
        short={"num_frames": 3},
        inner=_tower,
    ),
    "llava_next_video": FamilyCase(
        folder="llava_next_video_tiny",
        kinds=("llava_next_video",),
        pixels=_ends,
        ids=placeholder(340),
        sampling={"num_frames": 5},
        flags=("--num-frames", "5"),
        short={"num_frames": 3},
        inner=_tower,
    ),
    "llava_onevision": FamilyCase(
        folder="llava_onevision_tiny",
        kinds=("llava_onevision",),
        pixels=_ends,
        ids=placeholder(260),
        sampling={"num_frames": 6},
        flags=("--num-frames", "6"),
        short={"num_frames": 3},
        inner=_tower,
    ),
    "llava_video": FamilyCase(
        folder="llava_video_tiny",
        kinds=("llava_qwen", "LlavaQwenForCausalLM"),
        pixels=_ends,
        ids=tag(-200),
        sampling={"num_frames": 6},
        flags=("--num-frames", "6"),
        short={"num_frames": 3},
        inner=_tower,
    ),
    "smolvlm2": FamilyCase(
        folder="smolvlm2_tiny",
        kinds=("smolvlm",),
        pixels=_ends,
        ids=placeholder(4),
        short={"choose_fps": 0.5},
        inner=_tower,
    ),
    "vila": FamilyCase(
        folder="vila_s2_tiny",
        kinds=("llava_llama",),
        pixels=_whole,
        ids=tag(-200),
        short={"num_frames": 3},
        inner=_s2,
    ),
    "minigemini": FamilyCase(
        folder="minigemini_tiny",
        kinds=("mgm", "mgm_gemma", "mgm_mistral", "mgm_mixtral"),
        pixels=_both_sizes,
        ids=tag(-200),
        sampling={"num_frames": 4},
        flags=("--num-frames", "4"),
        short={"num_frames": 2},
        inner=_mined,
    ),
    "videollama3": FamilyCase(
        folder="videollama3_tiny",
        kinds=("video_llama_3",),
        pixels=_squares,
        ids=placeholder(4),
        short={"choose_fps": 0.5},
    ),
    "videollama3_qwen2": FamilyCase(
        folder="videollama3_qwen2_tiny",
        kinds=("videollama3_qwen2",),
        pixels=_squares,
        ids=placeholder(3),
        short={"choose_fps": 0.5},
    ),
}

FULL_SIZE: Final = {
    "videollama2_mistral": "test_structure:test_videollama2",
    "videollama2_qwen2": "test_structure:test_videollama2",
    "minicpmv": "test_structure:test_minicpmv_4_5_has_the_published_names",
    "CogVLMVideoForCausalLM": "test_cogvlm2_video:test_full_size",
    "LlavaQwenForCausalLM": "test_llava:test_full_size",
    "llava_qwen": "test_llava:test_full_size",
    "llava_llama": "test_vila:test_structure_of_3b",
    "videollama3_qwen2": "test_videollama3:test_full_size",
    "mgm": "test_minigemini:test_structure_of_7b",
}
"""Names in FAMILIES that neither STRUCTURES nor SIZES has -> the test of names and shapes at full size, in
tests/videollm/checkpoints."""
