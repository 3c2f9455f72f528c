"""What is known of a file without its frames, and small pictures of all of them."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.support.clips import edit_list, numbers, picture, remux, write
from videollm.errors import UserError, VideoError
from videollm.video.decoding.decode import decode
from videollm.video.decoding.spans import plan_spans
from videollm.video.file_timeline import read_timeline
from videollm.video.sampling import Sampling
from videollm.video.thumbnails import thumbnails

STEPS = [(1, 3, 2, 9)[i % 4] for i in range(120)]
UNEVEN = np.cumsum([0, *STEPS[:-1]]).tolist()
OPEN = {"preset": "veryfast", "g": "24", "bf": "4", "x264-params": "open-gop=1"}


def shown(path: Path) -> tuple[list[float], list[float]]:
    """Decode all frames; returns times of frames and of keyframes."""
    with av.open(str(path)) as container:
        frames = [(f.time, f.key_frame) for f in container.decode(video=0)]
    first = frames[0][0]
    return [t - first for t, _ in frames], [t - first for t, key in frames if key]


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "open_gop", "uneven", "uneven_b", "edit_list", "avi"])
def test_times_are_those_of_the_decoded_frames(kind: str, base: Path, tmp_path: Path) -> None:
    path = {
        "mp4": lambda: base,
        "mkv": lambda: remux(base, tmp_path / "base.mkv"),
        "ts": lambda: remux(base, tmp_path / "five.ts", offset_seconds=5),
        "open_gop": lambda: write(tmp_path / "open.mp4", 120, options=OPEN),
        "uneven": lambda: write(tmp_path / "vfr.mp4", 120, times=UNEVEN, options={"g": "24", "bf": "0"}),
        "uneven_b": lambda: write(tmp_path / "vfr.mp4", 120, times=UNEVEN, options={"g": "24", "bf": "2"}),
        "edit_list": lambda: edit_list(base, tmp_path / "edit.mp4", [(30, 90)]),
        "avi": lambda: write(tmp_path / "b.avi", 120, options={"g": "24", "bf": "0"}),
    }[kind]()
    seconds, keys = shown(path)
    found = read_timeline(str(path))
    assert found.seconds.dtype == found.key_seconds.dtype == np.float64
    assert found.seconds == pytest.approx(seconds, abs=2e-3)
    if kind == "edit_list":  # the first frame hangs on a keyframe that is hidden
        assert found.key_seconds[0] == 0
        assert found.key_seconds[1:] == pytest.approx(keys, abs=2e-3)
    else:
        assert found.key_seconds == pytest.approx(keys, abs=2e-3)
    last = {"uneven": 2 / 30, "uneven_b": 2 / 30}.get(kind, 1 / 30)  # what the middle frame lasts
    assert found.duration_seconds == pytest.approx(seconds[-1] + last, abs=0.02)


def test_the_end_is_that_of_the_last_frame_and_not_of_the_sound(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(base)) as old, av.open(str(path), "w") as new:
        video, sound = new.add_stream_from_template(old.streams.video[0]), new.add_stream("aac", rate=8000)
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                new.mux(packet)
        for number in range(60):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, number * 1024
            new.mux(sound.encode(frame))
        new.mux(sound.encode())
    with av.open(str(path)) as container:
        assert container.duration > 7e6
    assert read_timeline(str(path)).duration_seconds == pytest.approx(4.0)


def test_images_and_files_that_must_be_decoded(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    assert read_timeline(str(tmp_path)).seconds.tolist() == [0, 1, 2]
    path = write(tmp_path / "b.avi", 60, options={"g": "12", "bf": "2"})
    found = read_timeline(str(path))
    assert found.seconds == pytest.approx(np.arange(60) / 30)
    assert found.key_seconds.tolist() == []
    with pytest.raises(VideoError, match="no such file"):
        read_timeline(str(tmp_path / "none.mp4"))


def test_spans_are_the_windows_in_order() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        count, length, stride = chance.randrange(200), chance.uniform(1, 30), chance.uniform(0.5, 30)
        windows = [(i * stride, i * stride + length) for i in range(count)]
        end = count * stride + length
        keys = np.array(sorted(chance.uniform(0, end) for _ in range(chance.randrange(300))))
        most, size = chance.randrange(1, 70), chance.randrange(1, 100)
        spans = plan_spans(windows, keys, size, max_windows=most, max_bytes=1000)
        assert [n for span in spans for n in span] == list(range(count))
        assert all(0 < len(span) <= max(1, min(most, 1000 // size)) for span in spans)
    assert plan_spans([], np.zeros(0), 1) == ()
    assert plan_spans([(0.0, 1.0), (1.0, 2.0)], np.zeros(1), 1 << 40) == (range(1), range(1, 2))
    with pytest.raises(UserError, match="ascend"):
        plan_spans([(1.0, 2.0), (0.0, 1.0)], np.zeros(0), 1)


def test_spans_are_cut_at_keyframes() -> None:
    windows = [(float(i), i + 1.0) for i in range(40)]
    assert plan_spans(windows, np.array([0.0, 13.0, 26.0]), 1, max_windows=16) == (
        range(13), range(13, 26), range(26, 40)
    )  # fmt: skip
    assert plan_spans(windows, np.array([0.0]), 1, max_windows=16)[0] == range(8)  # nothing is cheap: the least


@pytest.mark.parametrize("kind", ["mp4", "mkv", "uneven", "avi_b_frames"])
def test_thumbnails_are_all_frames(kind: str, base: Path, tmp_path: Path) -> None:
    path = {
        "mp4": lambda: base,
        "mkv": lambda: remux(base, tmp_path / "base.mkv"),
        "uneven": lambda: write(tmp_path / "vfr.mp4", 120, times=UNEVEN, options={"g": "24", "bf": "2"}),
        "avi_b_frames": lambda: write(tmp_path / "b.avi", 120, options={"g": "12", "bf": "2"}),
    }[kind]()
    found = thumbnails(str(path), (36, 96))
    seconds, pictures = zip(*found, strict=True)
    assert numbers(np.stack(pictures)) == list(range(120))
    assert pictures[0].shape == (36, 96, 3)
    assert pictures[0].dtype == np.uint8
    whole = decode(str(path), Sampling(policy="linspace", num_frames=120))
    assert seconds == pytest.approx(whole.seconds)
    assert found.num_damaged == 0
    assert next(thumbnails(str(path)))[1].shape == (36, 64, 3)


def test_thumbnails_leave_out_what_is_damaged(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    data = bytearray(base.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    found = thumbnails(str(path), (36, 96))
    seconds, pictures = zip(*found, strict=True)
    assert 60 < len(pictures) < 120
    assert found.num_damaged == 120 - len(pictures)
    assert numbers(np.stack(pictures)) == [round(s * 30) for s in seconds]
    assert all(a < b for a, b in pairwise(seconds))
