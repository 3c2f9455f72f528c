from __future__ import annotations

import numpy as np
import pytest

from videollm.errors import VideoError
from videollm.video.sampling.sample import POLICIES, Sampling, Timeline, frame_range, sample


def timeline(num_frames: int, fps: float = 30.0) -> Timeline:
    return Timeline(num_frames=num_frames, fps=fps, duration_seconds=num_frames / fps)


def indices(sampling: Sampling, num_frames: int, fps: float = 30.0, **clip: float) -> list[int]:
    return list(sample(sampling, timeline(num_frames, fps), **clip).indices)


def test_segment_centers_is_videollama2s_rule() -> None:
    assert indices(Sampling(num_frames=8), 300) == [19, 56, 93, 131, 168, 206, 243, 280]


@pytest.mark.parametrize("num_frames", [1, 2, 5, 8, 30, 299, 300, 1001])
@pytest.mark.parametrize("n", [1, 4, 8, 16])
def test_segment_centers_matches_the_published_code(num_frames: int, n: int) -> None:
    size = float(num_frames - 1) / n  # VideoLLaMA2 mm_utils.py:111-121
    published = [round((size * i + size * (i + 1)) / 2 + 1e-6) for i in range(n)]
    assert indices(Sampling(num_frames=n), num_frames) == published


def test_linspace_takes_both_ends() -> None:
    assert indices(Sampling(policy="linspace", num_frames=4), 10) == [0, 3, 6, 9]


def test_every_second() -> None:
    assert indices(Sampling(policy="every", every_seconds=1, num_frames=100), 90) == [0, 30, 60]
    assert indices(Sampling(policy="every", every_seconds=0.5, num_frames=100), 60, start=0.5) == [15, 30, 45]


def test_every_is_thinned_to_its_maximum() -> None:
    found = indices(Sampling(policy="every", every_seconds=1, num_frames=4), 30 * 60)
    assert found == [7 * 30, 22 * 30, 37 * 30, 52 * 30]


def test_every_follows_uneven_times() -> None:
    uneven = Timeline(num_frames=4, fps=2, duration_seconds=4, seconds=np.array([0, 0.1, 0.2, 3.0]))
    assert sample(Sampling(policy="every", num_frames=9), uneven).indices == (0, 2, 2, 3)


def test_fps_stride_is_minicpmv_26() -> None:
    assert indices(Sampling(policy="fps_stride", num_frames=64), 90, 29.97) == [0, 30, 60]
    assert len(indices(Sampling(policy="fps_stride", num_frames=64), 30 * 200)) == 64


@pytest.mark.parametrize(
    ("seconds", "choose_fps", "frames", "packing"),
    [(30, 5, 150, 1), (60, 5, 300, 2), (108, 5, 540, 3), (600, 5, 540, 3)],
)
def test_fps_pack_counts_are_minicpmv_45s(seconds: int, choose_fps: float, frames: int, packing: int) -> None:
    found = sample(Sampling(policy="fps_pack", choose_fps=choose_fps), timeline(30 * seconds))
    assert (len(found.indices), found.packing) == (frames, packing)
    assert len(found.temporal_ids) == len(found.snapped_seconds) == frames


@pytest.mark.parametrize("fps", [10.0, 23.976, 24.0, 25.0, 29.97, 30.0, 59.94])
@pytest.mark.parametrize("num_frames", [1, 7, 50, 299, 1800])
def test_fps_pack_times_match_a_nearest_search(fps: float, num_frames: int) -> None:
    found = sample(Sampling(policy="fps_pack"), timeline(num_frames, fps))
    scale = np.arange(0, num_frames / fps, 0.1)
    for index, snapped, temporal_id in zip(found.indices, found.snapped_seconds, found.temporal_ids, strict=True):
        assert snapped == scale[np.abs(scale - index / fps).argmin()]
        assert temporal_id == np.int32(snapped / 0.1)


def test_temporal_ids_keep_the_official_truncation() -> None:
    found = sample(Sampling(policy="fps_pack", choose_fps=10), timeline(10, 10.0))
    assert found.temporal_ids == tuple((np.arange(0, 1, 0.1) / 0.1).astype(np.int32).tolist())


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_stays_in_its_range(policy: str) -> None:
    for start, end in [(0.0, 10.0), (2.5, 7.5), (9.99, 10.0), (1.001, 1.002)]:
        sampling = Sampling(policy=policy, num_frames=5)  # type: ignore[arg-type]
        first, stop = frame_range(timeline(300), start, end)
        found = indices(sampling, 300, start=start, end=end)
        assert found
        assert found == sorted(found)
        assert first <= found[0] <= found[-1] < stop


def test_range_is_half_open_and_may_be_shorter_than_a_frame() -> None:
    assert frame_range(timeline(300), 1.0, 2.0) == (30, 60)
    assert frame_range(timeline(300), 1.01, 1.02) == (30, 31)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (5.0, 2.0, "empty"),
        (2.0, 2.0, "empty"),
        (-1.0, None, "0 or more"),
        (float("nan"), None, "finite"),
        (None, float("inf"), "finite"),
        (None, 11.0, "ends at 10.000 s"),
        (10.0, None, "ends at 10.000 s"),
    ],
)
def test_bad_ranges_are_refused(start: float | None, end: float | None, said: str) -> None:
    with pytest.raises(VideoError, match=said) as error:
        sample(Sampling(), timeline(300), start, end)
    assert error.value.status == "bad_range"


@pytest.mark.parametrize("wrong", [{"policy": "all"}, {"num_frames": 0}, {"every_seconds": float("nan")}])
def test_bad_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Sampling(**wrong)  # type: ignore[arg-type]
