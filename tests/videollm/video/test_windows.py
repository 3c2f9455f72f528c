"""Many windows in one pass: each is what decoding its range alone gives, and what they share is read once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import edit_list, numbers, picture, remux, repeat, rotate, write
from tests.support.damage import make_copy, sources
from videollm.errors import Status, UserError, VideoError
from videollm.types import Clip
from videollm.video.decoding import container, index, indexed, planned_windows, run, sequential
from videollm.video.decoding.decode import decode
from videollm.video.decoding.windows import DecodedWindow, decode_windows
from videollm.video.preprocessing import FrameSize
from videollm.video.probe import probe
from videollm.video.sampling import Sampling

FEW = Sampling(policy="linspace", num_frames=4)
SMALL = FrameSize(height=24, width=48)
UNEVEN = np.cumsum([0] + [(1, 3, 2, 9)[i % 4] for i in range(119)]).tolist()
OPEN = {"preset": "veryfast", "g": "24", "bf": "4", "x264-params": "open-gop=1"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=24:open-gop=1"}
AV1 = {"preset": "12", "g": "10", "svtav1-params": "lp=1"}
KINDS: dict[str, Callable[[Path, Path], Path]] = {
    "mp4": lambda base, to: base,
    "mkv": lambda base, to: remux(base, to / "base.mkv"),
    "mpeg_ts_at_5_s": lambda base, to: remux(base, to / "five.ts", offset_seconds=5),
    "open_gop": lambda base, to: write(to / "open.mp4", 120, options=OPEN),
    "hevc_open_gop": lambda base, to: write(to / "hevc.mp4", 90, codec="libx265", options=X265),
    "av1": lambda base, to: write(to / "av1.mkv", 30, codec="libsvtav1", options=AV1),
    "uneven_times": lambda base, to: write(to / "vfr.mp4", 120, times=UNEVEN, options={"g": "24", "bf": "2"}),
    "edit_list": lambda base, to: edit_list(base, to / "edit.mp4", [(30, 90)]),
    "edit_list_of_parts": lambda base, to: edit_list(base, to / "parts.mp4", [(60, 120), (0, 60)]),
    "one_keyframe": lambda base, to: write(to / "one.mp4", 120, options={"g": "1000", "sc_threshold": "0"}),
    "intra_refresh": lambda base, to: write(
        to / "refresh.mp4", 120, options={"g": "24", "x264-params": "intra-refresh=1"}
    ),
    "rotated": lambda base, to: rotate(base, to / "rotated.mp4", 1),
    "avi_b_frames": lambda base, to: write(to / "b.avi", 60, options={"g": "12", "bf": "2"}),
    "gif": lambda base, to: write(to / "a.gif", 40, codec="gif", pixels="rgb8", fps=10),
}


def windows_of(path: Path, length: float, stride: float) -> list[tuple[float, float]]:
    end = probe(str(path)).duration_seconds
    return [(start, min(start + length, end)) for start in np.arange(0, end, stride).tolist()]


def check(path: Path, windows: list[tuple[float, float]], sampling: Sampling, **how: Any) -> list[DecodedWindow]:
    """Compare every window with its range decoded alone; returns the windows in the order in which they came."""
    found = list(decode_windows(str(path), windows, sampling, **how))
    assert sorted(window.number for window in found) == list(range(len(windows)))
    for window in found:
        assert (window.start, window.end) == windows[window.number]
        clip = Clip(video=str(path), start=window.start, end=window.end)
        try:
            alone = decode(clip, sampling, **how)
        except VideoError as error:
            expected = error
            alone = None
        if alone is None:
            assert window.batch is None
            assert window.error is not None
            assert (window.error.status, str(window.error)) == (expected.status, str(expected))
            continue
        assert window.error is None
        assert window.batch is not None
        ours, theirs = vars(window.batch).copy(), vars(alone).copy()
        frames, same = ours.pop("frames"), theirs.pop("frames")
        assert ours == theirs
        assert frames.shape == same.shape
        assert np.array_equal(frames, same)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_windows_equal_their_ranges(kind: str, base: Path, tmp_path: Path) -> None:
    path = KINDS[kind](base, tmp_path)
    for length, stride in ((0.7, 0.7), (1.0, 0.5)):
        windows = windows_of(path, length, stride)
        for sampling, how in (
            (FEW, {}),
            (Sampling(policy="fps_pack"), {"size": SMALL}),
            (FEW, {"size": SMALL, "decoder": "pyav"}),
        ):
            found = check(path, windows, sampling, **how)
            assert all(window.batch is not None for window in found)
            assert [window.number for window in found] == list(range(len(windows)))
            if kind in ("mp4", "mkv", "one_keyframe"):
                assert all(numbers(w.batch.frames) == list(w.batch.indices) for w in found if w.batch)


def test_windows_may_come_in_any_order_and_be_wrong(base: Path) -> None:
    windows = [(3.0, 4.0), (0.0, 1.0), (9.0, 10.0), (2.0, 2.0), (0.5, 3.5)]
    found = {window.number: window for window in check(base, windows, FEW)}
    assert all(found[n].batch for n in (0, 1, 4))
    assert {n: w.error.status for n, w in found.items() if w.error} == {2: Status.BAD_RANGE, 3: Status.BAD_RANGE}
    assert list(decode_windows(str(base), [], FEW)) == []


def test_what_is_wrong_with_the_file_is_every_windows_error(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all\n" * 100)
    for name, status in (("none.mp4", Status.NOT_FOUND), ("text.mp4", Status.NO_VIDEO)):
        found = check(tmp_path / name, [(0.0, 1.0), (1.0, 2.0)], FEW)
        assert [window.error.status for window in found if window.error] == [status] * 2


def test_what_cannot_be_asked(base: Path) -> None:
    with pytest.raises(UserError, match="expected a whole video"):
        decode_windows(Clip(video=str(base), start=1), [(1.0, 2.0)])
    with pytest.raises(UserError, match="threads is 0"):
        decode_windows(str(base), [(1.0, 2.0)], threads=0)


def test_windows_of_images(tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    found = check(tmp_path, [(0.0, 3.0), (2.0, 6.0)], FEW)
    assert [numbers(w.batch.frames)[-1] for w in found if w.batch] == [2, 5]


def test_a_damaged_window_fails_alone(base: Path, tmp_path: Path) -> None:
    for source in (base, remux(base, tmp_path / "base.mkv")):
        path = tmp_path / f"damaged{source.suffix}"
        data = bytearray(source.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 400] = bytes(400)
        path.write_bytes(data)
        windows = windows_of(path, 0.4, 0.4)
        found = check(path, windows, FEW)
        bad = [window for window in found if window.error]
        assert 0 < len(bad) < len(windows) / 2
        assert all(window.error and window.error.status == Status.DECODE_ERROR for window in bad)
        part = check(path, windows, Sampling(policy="linspace", num_frames=12), allow_partial=True)
        assert any(window.batch and window.batch.missing for window in part)


@pytest.mark.slow
def test_windows_of_damaged_files_equal_their_ranges(tmp_path: Path) -> None:
    files = [path for path in sources(tmp_path) if path.suffix not in (".png", ".jpg", ".tif", ".webp")]
    results, unlike = [], []
    for number in range(150):
        path = make_copy(files, 1, number, tmp_path)
        chance = random.Random(number)
        windows = [(s, s + 0.3) for s in np.arange(0, 0.8, chance.choice((0.1, 0.15))).tolist()]
        how: dict[str, Any] = {"allow_partial": chance.random() < 0.5, "decoder": chance.choice(("auto", "pyav"))}
        how["size"] = chance.choice((None, SMALL))
        try:
            results += check(path, windows, FEW, **how)
        except AssertionError as difference:
            unlike.append(difference)
    assert sum(window.batch is not None for window in results) > 100
    assert sum(window.error is not None for window in results) > 100
    # the decoder tells of no damage, and what it makes of it depends on the pictures that it was given
    assert len(unlike) <= 1


class Counter:
    """Files opened, indices made and packets read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num_opened = self.num_indexed = self.num_packets = 0
        self.places: set[int] = set()

        def counting_demux(*arguments: Any) -> Any:
            for packet in demux(*arguments):
                self.num_packets += packet.size > 0
                if packet.dts is not None:
                    self.places.add(packet.dts)
                yield packet

        @contextmanager
        def counting_open(path: str) -> Any:
            self.num_opened += 1
            with open_video(path) as opened:
                yield opened

        def counting_index(*arguments: Any, **how: Any) -> Any:
            self.num_indexed += 1
            return read_index(*arguments, **how)

        demux, open_video, read_index = container.demux, container.open_video, index.read_index
        for module in (index, run):
            monkeypatch.setattr(module, "demux", counting_demux)
        for module in (planned_windows, indexed, sequential):
            monkeypatch.setattr(module, "open_video", counting_open)
        monkeypatch.setattr(planned_windows, "read_index", counting_index)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "open_gop", "mpeg_ts_at_5_s", "one_keyframe", "uneven_times"])
def test_one_open_one_index_and_each_packet_once(
    kind: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = KINDS[kind](base, tmp_path)
    if kind != "one_keyframe":
        path = repeat(path, tmp_path / f"long{path.suffix}", 20)
    windows = windows_of(path, 0.5, 0.25)
    with monkeypatch.context() as patch:
        counter = Counter(patch)
        found = list(decode_windows(str(path), windows, FEW, size=SMALL))
    assert all(window.batch for window in found)
    assert (counter.num_opened, counter.num_indexed) == (1, 1)
    indexing = 120 * 20 if kind in ("mkv", "mpeg_ts_at_5_s", "uneven_times") else 0  # demuxed once
    # leading pictures are counted in three places, each after a seek; a file of one keyframe has none
    planning = 8 if kind == "one_keyframe" else 6 * 24
    assert counter.num_packets - indexing <= 1.05 * len(counter.places) + (0 if indexing else planning)


def test_frames_in_hand_are_those_of_windows_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "one.mp4", 240, options={"g": "1000", "sc_threshold": "0"})  # one run
    alive: set[int] = set()
    most = 0
    make = np.empty

    class Tracked(np.ndarray):
        def __del__(self) -> None:
            alive.discard(id(self))

    def tracked(shape: Any, *rest: Any, **how: Any) -> Any:
        nonlocal most
        made = make(shape, *rest, **how)
        if len(shape) == 4 and shape[1]:
            made = made.view(Tracked)
            alive.add(id(made))
            most = max(most, len(alive))
        return made

    from videollm.video.decoding import gathering

    monkeypatch.setattr(gathering.np, "empty", tracked)
    count = 0
    for window in decode_windows(str(path), windows_of(path, 1.0, 0.5), FEW):
        count += window.batch is not None
        del window
    assert count == 16
    assert most <= 2 + 2  # those that overlap, one that begins, and the one handed out


SCAN = """
import sys
from pathlib import Path

from videollm.types import Clip
from videollm.video.decoding.decode import decode
from videollm.video.decoding.windows import decode_windows
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling

def megabytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

path, sampling, size = sys.argv[1], Sampling(num_frames=8), FrameSize(height=384, width=384)
decode(Clip(video=sys.argv[2], start=0, end=1), sampling, size=size)  # loads what is loaded once
before = megabytes("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
windows = [(30.0 * i, 30.0 * (i + 1)) for i in range(1200)]
frames = 0
for window in decode_windows(path, windows, sampling, size=size):
    frames += len(window.batch.frames)
    del window
print(frames, megabytes("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read as Linux tells it")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_memory_of_ten_hours(suffix: str, tmp_path: Path) -> None:
    minute = write(tmp_path / "minute.mp4", 480, fps=8, size=(96, 96), options={"g": "32", "crf": "35"})
    path = repeat(minute, tmp_path / f"hours{suffix}", 600)
    done = subprocess.run([sys.executable, "-c", SCAN, path, minute], capture_output=True, text=True, check=True)
    frames, megabytes = done.stdout.split()
    assert int(frames) == 1200 * 8
    assert float(megabytes) < 100
