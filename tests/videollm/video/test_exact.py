"""Every frame asked for is the frame returned, on every kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.clips import edit_list, numbers, picture, remux, rotate, write
from videollm.errors import UserError
from videollm.types import Clip
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing import FrameSize
from videollm.video.probe import probe
from videollm.video.sampling import Sampling

Maker = Callable[[Path, Path], Path]
X265 = {"preset": "ultrafast"}
KINDS: dict[str, Maker] = {
    "h264": lambda base, to: base,
    "all_keyframes": lambda base, to: write(to / "intra.mp4", 60, options={"g": "1"}),
    "one_keyframe": lambda base, to: write(to / "gop.mp4", 90, options={"g": "1000", "sc_threshold": "0"}),
    "open_gop": lambda base, to: write(
        to / "open.mp4", 120, options={"preset": "veryfast", "g": "24", "bf": "4", "x264-params": "open-gop=1"}
    ),
    "intra_refresh": lambda base, to: write(
        to / "refresh.mp4", 120, options={"g": "24", "x264-params": "intra-refresh=1"}
    ),
    "interlaced": lambda base, to: write(
        to / "lace.mp4", 60, options={"preset": "veryfast", "g": "24", "x264-params": "interlaced=1:tff=1"}
    ),
    "h264_10bit": lambda base, to: write(to / "ten.mp4", 60, pixels="yuv420p10le"),
    "hevc_open_gop": lambda base, to: write(
        to / "hevc.mp4", 90, codec="libx265", options={**X265, "x265-params": "log-level=none:keyint=24:open-gop=1"}
    ),
    "hevc_10bit": lambda base, to: write(
        to / "hevc10.mp4", 60, codec="libx265", pixels="yuv420p10le", options={**X265, "x265-params": "log-level=none"}
    ),
    "vp8": lambda base, to: write(
        to / "vp8.webm",
        60,
        codec="libvpx",
        options={"cpu-used": "5", "g": "24", "auto-alt-ref": "1", "lag-in-frames": "9"},
    ),
    "vp9": lambda base, to: write(
        to / "vp9.webm", 60, codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime", "g": "24"}
    ),
    "av1": lambda base, to: write(
        to / "av1.mkv", 30, codec="libsvtav1", options={"preset": "12", "g": "10", "svtav1-params": "lp=1"}
    ),
    "mpeg4": lambda base, to: write(to / "mpeg4.mp4", 60, codec="mpeg4", options={"g": "12", "bf": "2"}),
    "avi": lambda base, to: write(to / "mpeg4.avi", 60, codec="mpeg4", options={"g": "12"}),
    "avi_b_frames": lambda base, to: write(to / "b.avi", 60, options={"g": "12", "bf": "2"}),
    "mpeg2_program": lambda base, to: write(
        to / "m2.mpg", 60, codec="mpeg2video", options={"g": "12", "bf": "2", "b": "4000000"}
    ),
    "mpeg_ts_at_5_s": lambda base, to: remux(base, to / "five.ts", offset_seconds=5),
    "mkv": lambda base, to: remux(base, to / "base.mkv"),
    "flv": lambda base, to: remux(base, to / "base.flv"),
    "fragmented": lambda base, to: remux(base, to / "frag.mp4", mux={"movflags": "frag_keyframe+empty_moov"}),
    "raw": lambda base, to: write(to / "raw.h264", 60, options={"g": "24"}),
    "gif": lambda base, to: write(to / "a.gif", 40, codec="gif", pixels="rgb8", fps=10),
    "wrong_extension": lambda base, to: remux(base, to / "base.mkv").rename(to / "really_mkv.mp4"),
    "one_frame": lambda base, to: write(to / "one.mp4", 1),
    "a_tenth_of_a_second": lambda base, to: write(to / "three.mp4", 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_decoded_frames_are_exact(kind: str, base: Path, tmp_path: Path) -> None:
    path = KINDS[kind](base, tmp_path)
    total = probe(str(path)).num_frames
    for num_frames in (5, 40):
        for decoder, threads in (("auto", 1), ("auto", 3), ("pyav", 1)):
            sampling = Sampling(policy="linspace", num_frames=num_frames)
            batch = decode(str(path), sampling, decoder=decoder, threads=threads)
            assert numbers(batch.frames) == list(batch.indices)
            assert list(batch.indices) == np.linspace(0, total - 1, num_frames).round().astype(int).tolist()
            assert batch.frames.dtype == np.uint8
            assert not batch.missing
            rate = {"gif": 10, "raw": 25}.get(kind, 30)  # a raw stream holds no times: FFmpeg takes 25 a second
            assert batch.seconds == pytest.approx([i / rate for i in batch.indices], abs=0.002)


@pytest.mark.parametrize("bf", [0, 2])
def test_uneven_frame_times(bf: int, tmp_path: Path) -> None:
    times = np.cumsum([0] + [(1, 3, 2, 9)[i % 4] for i in range(89)]).tolist()
    path = write(tmp_path / "vfr.mp4", 90, times=times, options={"g": "24", "bf": str(bf)})
    batch = decode(str(path), Sampling(policy="linspace", num_frames=9))
    assert numbers(batch.frames) == list(batch.indices)
    assert batch.seconds == pytest.approx([times[i] / 30 for i in batch.indices], abs=1e-3)
    shown = [max(i for i, t in enumerate(times) if t / 30 <= s + 1e-6) for s in range(4, 8)]
    found = decode(Clip(video=str(path), start=4, end=8), Sampling(policy="every", num_frames=99))
    first = next(i for i, t in enumerate(times) if t / 30 >= 4)
    assert numbers(found.frames) == list(found.indices) == [max(first, i) for i in shown]


@pytest.mark.parametrize(
    "segments",
    [
        [(30, 90)],
        [(0, 48), (72, 120)],
        [(0, 50), (62, 120)],
        [(0, 50), (60, 120)],
        [(60, 120), (0, 60)],
        [(9, 40), (9, 40)],
    ],
    ids=str,
)
def test_edit_lists(segments: list[tuple[int, int]], base: Path, tmp_path: Path) -> None:
    path = edit_list(base, tmp_path / "edit.mp4", segments)
    with av.open(str(path)) as container:  # what a player shows
        truth = numbers(np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]))
    batch = decode(str(path), Sampling(policy="linspace", num_frames=25))
    assert batch.indices[-1] == len(truth) - 1
    assert numbers(batch.frames) == [truth[i] for i in batch.indices]


def test_decord_is_not_frame_exact_and_the_default_is(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("decord")
    path = str(remux(base, tmp_path / "five.ts", offset_seconds=5))
    sampling = Sampling(policy="linspace", num_frames=12)
    theirs, ours = decode(path, sampling, decoder="decord"), decode(path, sampling)
    assert numbers(ours.frames) == list(ours.indices)
    assert numbers(theirs.frames) != list(theirs.indices)


@pytest.mark.parametrize("decoder", ["auto", "pyav", "decord"])
def test_backends_agree_on_a_plain_file(decoder: str, base: Path) -> None:
    if decoder == "decord":
        pytest.importorskip("decord")
    batch = decode(str(base), Sampling(num_frames=8), decoder=decoder, size=FrameSize(height=64, width=128))
    assert batch.frames.shape == (8, 64, 128, 3)
    assert numbers(batch.frames) == list(batch.indices)


@pytest.mark.parametrize("turns", range(4))
def test_display_rotation_is_applied(turns: int, base: Path, tmp_path: Path) -> None:
    path = str(rotate(base, tmp_path / "rotated.mp4", turns))
    info = probe(path)
    batch = decode(path, Sampling(num_frames=3))
    assert batch.frames.shape[1:3] == (info.height, info.width)
    assert info.rotation == turns * 90
    upright = np.rot90(batch.frames, -turns, axes=(1, 2))
    assert numbers(upright) == list(batch.indices)
    small = decode(path, Sampling(num_frames=3), size=FrameSize(height=48, width=48, mode="shortest_edge"))
    assert small.frames.shape[1:3] == ((48, 96), (96, 48))[turns % 2]


def test_colours_are_right(tmp_path: Path) -> None:
    path = write(tmp_path / "lossless.mp4", 2, options={"qp": "0"})
    batch = decode(str(path), Sampling(num_frames=2))
    assert np.abs(batch.frames[1].astype(int) - picture(batch.indices[1])).mean() < 3


def test_short_video_repeats_frames(tmp_path: Path) -> None:
    batch = decode(str(write(tmp_path / "three.mp4", 3)), Sampling(num_frames=8))
    assert batch.indices == (0, 0, 1, 1, 1, 1, 2, 2)
    assert numbers(batch.frames) == list(batch.indices)


def test_8k_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "8k.mp4", 1, size=(4320, 7680))
    batch = decode(str(path), Sampling(num_frames=2), size=FrameSize(height=336, width=336))
    assert batch.frames.shape == (2, 336, 336, 3)
    assert numbers(batch.frames) == list(batch.indices)


REAL = {
    "av1_video.mkv": 125,
    "h265_10bits.mp4": 30,
    "flipping_a_pancake.mkv": 310,
    "unordered.mov": 4,
    "nasa_13013.mp4": 390,
}


@pytest.mark.parametrize("name", REAL)
def test_real_clips_equal_a_plain_decode(name: str, real: Path) -> None:
    path = str(real / name)
    info = probe(path)
    assert info.num_frames == REAL[name]
    sampling, size = Sampling(num_frames=8), FrameSize(height=96, width=96)
    ours, plain = (decode(path, sampling, size=size, decoder=d) for d in ("auto", "pyav"))
    assert ours.indices == plain.indices
    assert np.array_equal(ours.frames, plain.frames)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_real_rotations_are_applied(angle: int, real: Path) -> None:
    path = str(real / f"video_{angle}.mov")
    info, batch = probe(path), decode(path, Sampling(num_frames=2))
    assert info.rotation in (angle, 360 - angle)
    assert batch.frames.shape == (2, info.height, info.width, 3)
    with av.open(path) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    upright = np.rot90(stored, info.rotation // 90)
    assert np.abs(upright.astype(int) - batch.frames[0]).mean() < 4  # two ways to scale the chroma planes


OUTSIDE = """
from videollm.video.decoding.auto import AutoDecoder

class Mirrored(AutoDecoder):
    def decode(self, request):
        from dataclasses import replace
        batch = super().decode(request)
        return replace(batch, frames=batch.frames[:, :, ::-1])
"""


def test_a_decoder_from_outside(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_decoders.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sampling = Sampling(num_frames=2)
    plain = decode(base, sampling)
    for name in ("their_decoders:Mirrored", f"{tmp_path}/their_decoders.py:Mirrored"):
        assert np.array_equal(decode(base, sampling, decoder=name).frames[:, :, ::-1], plain.frames)
    with pytest.raises(UserError, match=r"expected a subclass of videollm.video.decoding.base.Decoder"):
        decode(base, sampling, decoder="pathlib:Path")
