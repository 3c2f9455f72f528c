from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clips import numbers
from videollm.errors import UserError, VideoError
from videollm.video.decoding.decode import decode
from videollm.video.sampling import POLICIES, Sampling, Timeline, frame_range, sample


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


def test_linspace_without_the_last_frame_cuts_fractions_off() -> None:
    assert indices(Sampling(policy="linspace", num_frames=6, last=False), 146) == [0, 28, 57, 86, 115, 144]
    assert indices(Sampling(policy="linspace", num_frames=3, last=False), 1) == [0, 0, 0]


@pytest.mark.parametrize("length", [1, 5, 6])
def test_linspace_without_repeats_takes_a_short_video_whole(length: int) -> None:
    sampling = Sampling(policy="linspace", num_frames=6, last=False, repeat=False)
    assert indices(sampling, length) == list(range(length))


def test_segments_are_those_of_transformers_video_processors() -> None:
    assert indices(Sampling(policy="segments", num_frames=6), 146) == [0, 24, 48, 73, 97, 121]
    middle = Sampling(policy="segments", num_frames=8, place="middle")
    assert indices(middle, 243) == [15, 45, 75, 106, 136, 167, 197, 227]
    assert indices(middle, 3) == [0, 0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("num_frames", [1, 2, 5, 30, 299, 1001])
@pytest.mark.parametrize("n", [1, 4, 8, 16])
def test_segments_with_a_rounded_start_are_internvls(num_frames: int, n: int) -> None:
    size = float(num_frames - 1) / n  # get_index in the model cards of OpenGVLab/InternVL3
    published = [int(0 + (size / 2) + np.round(size * i)) for i in range(n)]
    assert indices(Sampling(policy="segments", num_frames=n, place="rounded"), num_frames) == published


def test_nearest_seconds_are_those_of_float32() -> None:
    assert indices(Sampling(policy="nearest_seconds"), 40, 12.5) == [0, 13, 25, 37]
    assert indices(Sampling(policy="nearest_seconds", max_num_frames=2), 40, 12.5) == [0, 13]
    assert indices(Sampling(policy="nearest_seconds"), 300, start=2.0, end=4.5) == [60, 90, 120]
    assert indices(Sampling(policy="nearest_seconds"), 1) == [0]


def test_first_seconds_are_cut_and_not_rounded() -> None:
    assert indices(Sampling(policy="first_seconds"), 2031)[:7] == [0, 78, 156, 234, 312, 391, 469]
    assert indices(Sampling(policy="first_seconds"), 2031)[-1] == 1799
    assert indices(Sampling(policy="first_seconds", num_frames=4), 2) == [0, 0, 0, 1]


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


def test_whole_seconds_are_minicpmv_46s() -> None:
    seconds = Sampling(policy="whole_seconds", max_num_frames=4)
    assert indices(seconds, 90, 29.97) == [0, 29, 59, 89]
    assert indices(seconds, 121, 30) == [0, 39, 78, 117]  # of the frames at 0.0, 0.1, ... 3.9 s
    assert indices(seconds, 60, 30, start=1.0) == [30]


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


@pytest.mark.parametrize("policy", POLICIES.names())
def test_every_policy_stays_in_its_range(policy: str) -> None:
    for start, end in [(0.0, 10.0), (2.5, 7.5), (9.99, 10.0), (1.001, 1.002)]:
        sampling = Sampling.from_dict({"policy": policy, "num_frames": 5})
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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"policy": "all"}, "Unknown sampling policy 'all'. Expected one of segment_centers, linspace"),
        ({"num_frames": 0}, "num_frames is 0; expected a whole number above 0"),
        ({"num_frames": 2.5}, "num_frames is 2.5; expected a whole number above 0"),
        ({"policy": "every", "every_seconds": float("nan")}, "every_seconds is nan; expected a number above 0"),
        ({"policy": "fps_pack", "choose_fps": "3"}, "choose_fps is '3'; expected a number"),
        ({"policy": "fps_pack", "force_packing": 0}, "force_packing is 0; expected at least 1"),
        ({"policy": "linspace", "nmu_frames": 8}, "linspace has no nmu_frames; expected one of num_frames"),
    ],
)
def test_bad_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    for build in (lambda: Sampling(**wrong), lambda: Sampling.from_dict(wrong)):
        with pytest.raises(UserError) as error:
            build()
        assert said in str(error.value)


def test_a_setting_that_a_policy_has_not_is_refused_where_it_is_asked_for() -> None:
    with pytest.raises(UserError, match="linspace has no choose_fps; expected one of num_frames"):
        Sampling(policy="linspace", choose_fps=3.0)
    with pytest.raises(UserError, match="fps_pack has no num_frames; expected one of choose_fps"):
        Sampling(policy="fps_pack").override(num_frames=8)


@pytest.mark.parametrize("policy", POLICIES.names())
def test_policies_survive_json_pickling_and_copying(policy: str) -> None:
    sampling = Sampling(policy=policy)
    assert type(sampling) is POLICIES[policy]
    assert sampling == POLICIES[policy]()
    assert Sampling.from_dict(json.loads(json.dumps(asdict(sampling)))) == sampling
    assert pickle.loads(pickle.dumps(sampling)) == copy.deepcopy(sampling) == replace(sampling) == sampling


@pytest.mark.parametrize("policy", POLICIES.names())
def test_records_of_version_0_1_are_read(policy: str) -> None:
    flat = {"policy": policy, "num_frames": 4, "every_seconds": 2.0, "choose_fps": 5.0, "max_num_frames": 90,
            "max_packing": 6, "force_packing": 2}  # fmt: skip
    own = asdict(Sampling(policy=policy))
    assert asdict(Sampling.from_dict(flat)) == {name: flat.get(name, value) for name, value in own.items()}


def test_another_policy_takes_over_what_it_shares() -> None:
    stride = Sampling(policy="fps_stride", num_frames=64, every_seconds=2.0)
    assert stride.override(policy="every", num_frames=9) == Sampling(policy="every", num_frames=9, every_seconds=2.0)
    assert stride.override(policy="fps_pack", choose_fps=1.0) == Sampling(policy="fps_pack", choose_fps=1.0)
    assert stride.override() == stride


OUTSIDE = """
from dataclasses import dataclass
from videollm.video.sampling import Sampled, Sampling

@dataclass(frozen=True, kw_only=True)
class Last(Sampling):
    num_frames: int = 2
    past: int = 0

    def choose(self, timeline, frames, start):
        return Sampled(tuple(i + self.past for i in frames[-self.num_frames :]))
"""


def test_a_policy_from_outside(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_policies.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(str(tmp_path))
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[videollm.policies]\nlast = their_policies:Last\n")
    for name in ("last", "their_policies:Last", f"{tmp_path}/their_policies.py:Last"):
        sampling = Sampling(policy=name, num_frames=3)
        assert sampling.policy == name
        assert Sampling.from_dict(asdict(sampling)) == sampling
        assert numbers(decode(str(base), sampling).frames) == [117, 118, 119]
        with pytest.raises(UserError, match=r"chose frames \(118, 119, 120\); expected at least one, .* from 0 to 119"):
            decode(str(base), replace(sampling, past=1))
    assert "last" in POLICIES
    assert POLICIES["their_policies:Last"](num_frames=1).policy == "their_policies:Last"
