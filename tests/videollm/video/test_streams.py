"""Which of several video streams, and how many frames, of real files on which decoders were seen to differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from videollm import probe
from videollm.video.decoding.decode import decode
from videollm.video.sampling import Sampling

DECODERS = ("planned", "pyav", "decord")


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_best_stream_is_decoded_not_the_first(decoder: str, real: Path) -> None:
    """Of 320 x 180 and 480 x 270 the larger, as FFmpeg and decord choose."""
    batch = decode(real / "nasa_13013.mp4", Sampling(policy="linspace", num_frames=3), decoder=decoder)
    assert batch.frames.shape[1:3] == (270, 480)
    assert batch.num_in_range == 390
    assert (probe(str(real / "nasa_13013.mp4")).height, batch.indices[-1]) == (270, 389)


@pytest.mark.parametrize("decoder", DECODERS)
def test_frames_are_those_that_can_be_shown(decoder: str, real: Path) -> None:
    """A Matroska file has no count; a decoder that counts packets finds one more than there are frames."""
    batch = decode(real / "flipping_a_pancake.mkv", Sampling(policy="linspace", num_frames=4), decoder=decoder)
    assert (batch.num_in_range, batch.indices) == (310, (0, 103, 206, 309))
    assert probe(str(real / "flipping_a_pancake.mkv")).num_frames == 310
