"""Decoding by torchcodec: which frames it gives, when it leaves a file to others, and what is said where it is missing.

How torchcodec decodes on a GPU is its own business. What is ours, the choice of frames and their check, runs on its CPU
device as well, where it can be loaded (the extra `nvdec`, and FFmpeg's shared libraries).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tests.support.clips import edit_list, numbers, remux, rotate, write
from videollm.errors import Status, UserError, VideoError
from videollm.types import Clip, FrameBatch
from videollm.video.decoding.base import DecodeRequest
from videollm.video.decoding.decode import decode
from videollm.video.decoding.nvdec import NvdecDecoder
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling

Maker = Callable[[Path, Path], Path]
SIZE = FrameSize(height=64, width=128)
UNEVEN = np.cumsum([0] + [(1, 3, 2, 9)[i % 4] for i in range(89)]).tolist()


class OnCpu(NvdecDecoder):
    """The same, where there is no GPU."""

    device: ClassVar[str] = "cpu"


def loads() -> bool:
    try:
        OnCpu.check()
    except UserError:
        return False
    return True


needs_torchcodec = pytest.mark.skipif(not loads(), reason="torchcodec cannot be loaded (the extra `nvdec`, and FFmpeg)")

TORCHCODEC = frozenset({None})
FILES: dict[str, tuple[Maker, frozenset[str | None]]] = {
    "h264": (lambda base, to: base, TORCHCODEC),
    "open_gop": (
        lambda base, to: write(to / "open.mp4", 90, options={"g": "24", "x264-params": "open-gop=1"}),
        TORCHCODEC,
    ),
    "one_keyframe": (
        lambda base, to: write(to / "one.mp4", 90, options={"g": "1000", "sc_threshold": "0"}),
        TORCHCODEC,
    ),
    "mkv": (lambda base, to: remux(base, to / "base.mkv"), TORCHCODEC),
    "uneven": (lambda base, to: write(to / "vfr.mp4", 90, times=UNEVEN, options={"g": "24"}), TORCHCODEC),
    # torchcodec 0.13 gives wrong frames here, which their times tell
    "mpeg_ts_at_5_s": (lambda base, to: remux(base, to / "five.ts", offset_seconds=5), TORCHCODEC | {"planned"}),
    "edit_list": (lambda base, to: edit_list(base, to / "edit.mp4", [(30, 90)]), TORCHCODEC | {"planned"}),
    "edit_lists": (lambda base, to: edit_list(base, to / "e.mp4", [(60, 120), (0, 60)]), frozenset({"pyav"})),
    "turned": (lambda base, to: rotate(base, to / "turned.mp4", 1), frozenset({"planned"})),
    "avi_b_frames": (lambda base, to: write(to / "b.avi", 60, options={"g": "12", "bf": "2"}), frozenset({"pyav"})),
}
"""Files, and what may decode them: None is torchcodec."""


def request(path: Path, size: FrameSize | None = SIZE) -> DecodeRequest:
    clip, sampling = Clip(video=str(path)), Sampling(policy="linspace", num_frames=21)
    return DecodeRequest(path=str(path), clip=clip, sampling=sampling, size=size)


def by_default(path: Path, size: FrameSize | None = SIZE) -> FrameBatch:
    return decode(str(path), Sampling(policy="linspace", num_frames=21), size=size)


@needs_torchcodec
@pytest.mark.parametrize("kind", FILES)
def test_frames_are_those_of_the_default_decoder(
    kind: str, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, decoders = FILES[kind]
    path = make(base, tmp_path)
    found, expected = OnCpu().decode(request(path)), by_default(path)
    assert found.indices == expected.indices
    assert found.seconds == pytest.approx(expected.seconds, abs=1e-3)
    assert found.frames.shape == expected.frames.shape
    assert found.decoder in decoders, caplog.text
    assert ("not decoded by nvdec" in caplog.text) == (found.decoder is not None)
    if kind != "turned":  # the number lies on its side
        assert numbers(found.frames) == numbers(expected.frames)


@needs_torchcodec
@pytest.mark.parametrize("size", [None, FrameSize(height=48, width=96, exact=True), SIZE], ids=str)
def test_pixels_are_near(size: FrameSize | None, base: Path) -> None:
    found, expected = OnCpu().decode(request(base, size)), by_default(base, size)
    assert found.decoder is None
    assert np.abs(found.frames.astype(int) - expected.frames).mean() < 2


@needs_torchcodec
def test_a_damaged_file_is_left_to_the_default(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.ts"
    whole = remux(base, tmp_path / "whole.ts").read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    found, expected = OnCpu().decode(request(path)), by_default(path)
    assert (found.indices, numbers(found.frames)) == (expected.indices, numbers(expected.frames))


def test_without_torchcodec_the_extra_is_named(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"pip install 'videollm\[nvdec\]'"):
        NvdecDecoder.check()
    with pytest.raises(VideoError, match="nvdec") as error:
        decode(str(base), decoder="nvdec")
    assert error.value.status is Status.MISSING_DEPENDENCY


def test_batches_tell_what_decoded_them(base: Path, tmp_path: Path) -> None:
    assert decode(str(base)).decoder == "planned"
    assert decode(str(base), decoder="pyav").decoder == "pyav"
    assert decode(str(write(tmp_path / "b.avi", 60, options={"g": "12", "bf": "2"}))).decoder == "pyav"
