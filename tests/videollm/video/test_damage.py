"""Damaged and odd files: reading one raises a VideoError that tells the truth, and nothing else."""

from __future__ import annotations

import resource
import struct
from pathlib import Path

import pytest
from PIL import Image

from tests.support.clips import late_sound, numbers, picture, write
from tests.support.damage import READERS, outcomes, sources
from videollm.errors import Status, VideoError
from videollm.video.decoding.decode import decode
from videollm.video.probe import probe
from videollm.video.sampling import Sampling

SPREAD = Sampling(policy="linspace", num_frames=4)
TOLD = {"ok", *map(str, Status)} - {"internal_error"}


def test_damaged_files_raise_video_errors_alone(tmp_path: Path) -> None:
    found = list(outcomes(sources(tmp_path), count=150))
    assert len(found) == 150 * len(READERS)
    # decord may crash: that is why a job decodes in a child process
    assert [o for o in found if o.result not in TOLD and (o.reader, o.result) != ("decord", "died")] == []
    assert not [o for o in found if "not permitted" in o.message]
    assert sum(o.result == "ok" for o in found) > 100
    assert sum(o.result != "ok" for o in found) > 100


def says(path: Path, decoder: str) -> str:
    """Read a file that is damaged; returns what the error says."""
    with pytest.raises(VideoError) as error:
        probe(str(path)) if decoder == "probe" else decode(str(path), SPREAD, decoder=decoder)
    assert error.value.status == "decode_error"
    return str(error.value)


@pytest.mark.parametrize("decoder", ["probe", "auto", "planned", "pyav"])
def test_a_failure_without_a_reason_is_not_called_a_permission(decoder: str, base: Path, tmp_path: Path) -> None:
    path = tmp_path / "no_samples.mp4"
    path.write_bytes(base.read_bytes().replace(b"stco", b"free"))  # where in the file the samples are
    message = says(path, decoder)
    assert "permi" not in message
    assert "its video stream holds no frame" in message


def test_the_planned_decoder_says_what_it_cannot_plan(tmp_path: Path) -> None:
    path = write(tmp_path / "b.avi", 24, options={"g": "8", "bf": "2"})
    assert "use the decoder auto or pyav" in says(path, "planned")
    assert numbers(decode(str(path), SPREAD).frames) == [0, 8, 15, 23]


def test_sound_may_begin_late(tmp_path: Path) -> None:
    path = late_sound(tmp_path / "late.flv")
    assert path.stat().st_size > 5e6
    for decoder in ("auto", "planned", "pyav"):
        assert decode(str(path), Sampling(policy="linspace", num_frames=3), decoder=decoder).indices == (0, 4, 8)
    assert probe(str(path)).num_frames == 9


def test_an_image_without_its_dimensions(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(number)) for number in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    data = bytearray((tmp_path / "pages.tif").read_bytes())
    width = struct.pack("<HHI", 256, 4, 1)  # tag, type, count
    at = data.index(width, data.index(width) + 1)
    data[at : at + 2] = bytes(2)  # of the second page
    (tmp_path / "pages.tif").write_bytes(data)
    for read in (probe, lambda path: decode(path, SPREAD)):
        with pytest.raises(VideoError, match="image") as error:
            read(str(tmp_path / "pages.tif"))
        assert error.value.status == "no_video"


def test_digits_that_are_no_numbers_in_names_of_images(tmp_path: Path) -> None:
    for number, name in enumerate(("²1.png", "²2.png")):
        Image.fromarray(picture(number)).save(tmp_path / name)
    assert numbers(decode(str(tmp_path), Sampling(policy="linspace", num_frames=2)).frames) == [0, 1]


def test_a_display_matrix_that_is_no_rotation_turns_nothing(base: Path, tmp_path: Path) -> None:
    data = bytearray(base.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = bytes(36)
    (tmp_path / "singular.mp4").write_bytes(data)
    batch = decode(str(tmp_path / "singular.mp4"), SPREAD)
    assert numbers(batch.frames) == list(batch.indices)
    assert probe(str(tmp_path / "singular.mp4")).rotation == 0


def test_failures_of_the_machine_are_told_as_such(decoder: str, base: Path) -> None:
    decode(str(base), SPREAD, decoder=decoder)  # what is imported, is
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(VideoError, match="Too many open files"):
            decode(str(base), SPREAD, decoder=decoder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_decord_says_the_same_at_any_time(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    path = write(tmp_path / "a.gif", 4, codec="gif", pixels="rgb8", fps=10)
    path.write_bytes(path.read_bytes()[:-100])
    message = says(path, "decord")
    assert "decord failed (" in message
    assert "/src/" not in message
