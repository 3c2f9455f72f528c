"""What a job meets in the wild: every bad input is one clear VideoError, or a right result."""

from __future__ import annotations

import http.server
import os
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.support.clips import numbers, picture, remux, write
from tests.support.paths import ROOT
from videollm.errors import VideoError
from videollm.io import check_file
from videollm.types import Clip
from videollm.video.decoding.decode import decode
from videollm.video.probe import probe
from videollm.video.sampling import Sampling

SPREAD = Sampling(policy="linspace", num_frames=16)


def fails(path: Path | str, status: str, **options: object) -> str:
    with pytest.raises(VideoError) as error:
        decode(str(path), SPREAD, **options)  # type: ignore[arg-type]
    assert error.value.status == status, error.value
    assert len(str(error.value)) < 1000
    return str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in fails(tmp_path / "none.mp4", "not_found")


def test_name_too_long_or_impossible() -> None:
    fails("/" + "a" * 5000 + ".mp4", "not_found")
    fails("a\0b.mp4", "not_found")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    assert "0 bytes" in fails(tmp_path / "zero.mp4", "no_video")


def test_garbage(decoder: str, tmp_path: Path) -> None:
    (tmp_path / "garbage.mp4").write_bytes(random.Random(0).randbytes(50_000))
    fails(tmp_path / "garbage.mp4", "decode_error" if decoder == "decord" else "no_video", decoder=decoder)


def test_text_that_names_other_files(tmp_path: Path) -> None:
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError):
        decode(str(tmp_path / "list.mp4"), SPREAD)


def test_audio_only(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "audio" in fails(tmp_path / "sound.mp4", "no_video")


def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "regular file" in fails(tmp_path / "pipe.mp4", "no_video")


def test_no_permission(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "locked.mp4"
    path.write_bytes(base.read_bytes())
    path.chmod(0)
    if not os.access(path, os.R_OK):
        fails(path, "permission_denied")
        return
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):  # root reads anything: a child gives root up
        folder.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            check_file(str(path))
        except VideoError as error:
            os._exit(7 if error.status == "permission_denied" else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_truncated_mp4(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", 240, options={"g": "24"}, mux={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    assert "allow partial" in fails(path, "decode_error")
    batch = decode(str(path), SPREAD, allow_partial=True)
    assert numbers(batch.frames) == list(batch.indices)
    assert 5 <= len(batch.missing) <= 9
    assert set(batch.indices) | set(batch.missing) == set(np.linspace(0, 239, 16).round().astype(int).tolist())


def test_mp4_without_its_header(base: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(base.read_bytes()[:20_000])
    fails(tmp_path / "cut.mp4", "no_video")


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_give_right_frames_or_none(seed: int, suffix: str, base: Path, tmp_path: Path) -> None:
    path = base if suffix == ".mp4" else remux(base, tmp_path / "copy.ts")
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    stop = data.index(b"moov") if suffix == ".mp4" else len(data)
    for _ in range(6):
        at = chance.randrange(2000, stop - 64)
        data[at : at + 32] = chance.randbytes(32)
    (tmp_path / f"flipped{suffix}").write_bytes(data)
    for decoder in ("auto", "pyav"):
        batch = decode(str(tmp_path / f"flipped{suffix}"), SPREAD, decoder=decoder, allow_partial=True)
        found = numbers(batch.frames)
        assert found == sorted(found)
        if suffix == ".mp4":  # a transport stream that lost packets cannot count the frames that were in them
            assert found == list(batch.indices)


def test_stream_that_starts_in_the_middle(base: Path, tmp_path: Path) -> None:
    data = remux(base, tmp_path / "whole.ts").read_bytes()
    (tmp_path / "late.ts").write_bytes(data[188 * 60 :])
    batch = decode(str(tmp_path / "late.ts"), Sampling(policy="linspace", num_frames=4))
    found = numbers(batch.frames)
    assert [n - found[0] for n in found] == list(batch.indices)
    assert found[-1] == 119


@pytest.mark.parametrize("name", ["ünï çødé 视频 🎬.mp4", "a:b?c*.mp4", "%03d.mp4", "n" * 240 + ".mp4", "-x.mp4"])
def test_odd_names(name: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(base.read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in (name, str(tmp_path / name)):
        assert numbers(decode(path, SPREAD).frames)[-1] == 119


@pytest.mark.parametrize(("start", "end"), [(3.0, 1.0), (-1.0, None), (9.0, None), (0.0, 60.0), (float("nan"), None)])
def test_bad_ranges(start: float | None, end: float | None, base: Path) -> None:
    with pytest.raises(VideoError) as error:
        decode(Clip(video=str(base), start=start, end=end), SPREAD)
    assert error.value.status == "bad_range"


def test_range(base: Path) -> None:
    batch = decode(Clip(video=str(base), start=1.0, end=2.0), Sampling(policy="linspace", num_frames=4))
    assert numbers(batch.frames) == list(batch.indices) == [30, 40, 49, 59]


def test_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(VideoError("no_video", "empty")))
    assert (error.status, str(error)) == ("no_video", "empty")


def test_unknown_decoder(base: Path) -> None:
    with pytest.raises(ValueError, match="auto"):
        decode(str(base), SPREAD, decoder="magic")


def test_folder_of_images(tmp_path: Path) -> None:
    for number in range(12):  # img10 comes after img9
        Image.fromarray(picture(number)).save(tmp_path / f"img{number}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    batch = decode(str(tmp_path), Sampling(policy="linspace", num_frames=12))
    assert numbers(batch.frames) == list(range(12))
    assert batch.seconds == tuple(float(i) for i in range(12))
    (tmp_path / "img3.png").write_bytes(b"broken")
    fails(tmp_path, "decode_error")
    assert decode(str(tmp_path), Sampling(policy="linspace", num_frames=12), allow_partial=True).missing == (3,)


def test_images_of_a_folder_at_their_own_rate(tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(picture(number)).save(tmp_path / f"{number + 1:05d}.jpg")
    batch = decode(Clip(video=str(tmp_path), fps=3, start=1, end=3), Sampling(policy="linspace", num_frames=6))
    assert numbers(batch.frames) == [3, 4, 5, 6, 7, 8]
    assert batch.seconds == pytest.approx([1, 4 / 3, 5 / 3, 2, 7 / 3, 8 / 3])


def test_an_end_past_the_video_is_cut_where_the_clip_says_so(decoder: str, base: Path) -> None:
    past = Clip(video=str(base), start=2, end=60)
    with pytest.raises(VideoError, match="end is 60 s but the video ends at 4"):
        decode(past, SPREAD, decoder=decoder)
    cut = decode(Clip(**{**vars(past), "cut_end": True}), SPREAD, decoder=decoder)
    assert cut.indices == decode(Clip(video=str(base), start=2), SPREAD, decoder=decoder).indices


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert "folder without images" in fails(tmp_path, "no_video")


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp"])
def test_still_image_under_a_wrong_name(kind: str, tmp_path: Path) -> None:
    Image.fromarray(picture(5)).save(tmp_path / "still.mp4", format=kind)
    batch = decode(str(tmp_path / "still.mp4"), Sampling(num_frames=2))
    assert numbers(batch.frames) == [5, 5]
    assert probe(str(tmp_path / "still.mp4")).num_frames == 1


@pytest.fixture
def server(base: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=base.parent)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_http(server: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp", reason="fsspec reads http with aiohttp")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    batch = decode(f"{server}/{base.name}", SPREAD)
    assert numbers(batch.frames) == list(batch.indices)
    fails(f"{server}/none.mp4", "not_found")
    fails("http://127.0.0.1:9/none.mp4", "fetch_error")
    assert not list(tmp_path.iterdir()), "a fetched file was left behind"


def test_nothing_leaks_over_many_decodes(base: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(base.read_bytes()[:20_000])
    process = psutil.Process()

    def some(count: int) -> None:
        for _ in range(count):
            decode(str(base), Sampling(num_frames=4), threads=2)
            decode(str(base), Sampling(num_frames=4), decoder="pyav")
            with pytest.raises(VideoError):
                decode(str(bad), Sampling(num_frames=4))

    some(5)
    before = process.num_fds(), process.num_threads(), process.memory_info().rss
    some(60)
    assert process.num_fds() == before[0]
    assert process.num_threads() == before[1]
    assert process.memory_info().rss - before[2] < 20e6


def test_decoding_does_not_import_torch() -> None:
    code = "import sys, videollm.video.decoding.decode, videollm.video.probe\n"
    code += "print({'torch', 'PIL', 'decord'} & set(sys.modules))"
    run = partial(subprocess.run, capture_output=True, text=True, check=True, cwd=ROOT)
    assert run([sys.executable, "-c", code]).stdout.strip() == "set()"
