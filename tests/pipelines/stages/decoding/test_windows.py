"""Windows of one video that are decoded in a child: what befalls one of them, and what is known of the video."""

from __future__ import annotations

from pathlib import Path

from pipelines.stages.decoding.client import Decoder, Failure
from tests.support.clips import picture, write
from videollm.types import Clip

SAMPLING = {"num_frames": 2}
SIZE = {"height": 32, "width": 32}
PICKY = """
import os, time
from videollm.video.decoding.planned import PlannedDecoder

class Picky(PlannedDecoder):
    def decode_windows(self, requests):
        for number, request in requests.items():
            if request.clip.start == 0.5:
                time.sleep(600)
            if request.clip.start == 1.5:
                os.kill(os.getpid(), 9)
            yield number, self.decode(request)
"""


def test_a_window_that_hangs_or_kills_costs_itself_alone(tmp_path: Path) -> None:
    video = write(tmp_path / "video.mp4", 90)
    (tmp_path / "picky.py").write_text(PICKY)
    clips = [Clip(video=str(video), start=i / 2, end=i / 2 + 0.5) for i in range(6)]
    decoder = Decoder(timeout_seconds=5.0)
    try:
        made = decoder.decode_windows(clips, SAMPLING, SIZE, decoder=f"{tmp_path / 'picky.py'}:Picky")
        plain = decoder.decode_windows(clips, SAMPLING, SIZE)
    finally:
        decoder.close()
    assert made[1] == Failure(status="timeout", error="timeout after 5.0s")
    assert made[3] == Failure(status="decoder_died", error="decoder died, signal 9")
    for i in (0, 2, 4, 5):
        one, other = made[i], plain[i]
        assert not isinstance(one, Failure)
        assert not isinstance(other, Failure)
        assert one[0].seconds == other[0].seconds
        assert (one[0].frames == other[0].frames).all()


def test_a_folder_of_images_is_as_long_as_its_clip_says(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(6):
        Image.fromarray(picture(i)).save(tmp_path / f"{i}.png")
    decoder = Decoder(timeout_seconds=30.0)
    try:
        found = [decoder.survey(Clip(video=str(tmp_path), fps=fps), "") for fps in (None, 3.0)]
    finally:
        decoder.close()
    assert [one.duration for one in found if not isinstance(one, Failure)] == [6.0, 2.0]
