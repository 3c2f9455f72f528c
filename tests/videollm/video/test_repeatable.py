"""The same file gives the same bytes, whatever memory held before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.clips import write
from tests.support.paths import ROOT

ODD = (51, 67)
CODE = """
import hashlib, json, sys
from pathlib import Path
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling

SIZES = (
    None,
    FrameSize(height=37, width=53),
    FrameSize(height=336, width=335),
    FrameSize(height=41, width=41, mode="shortest_edge"),
    FrameSize(height=70, width=70, mode="area", multiple=14),
    FrameSize(height=45, width=45, mode="shortest_edge", exact=True),
)
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    for decoder, threads in json.loads(sys.argv[2]):
        for size in SIZES:
            if decoder == "decord" and path.suffix != ".mp4":
                continue  # see docs/decoding.md: at the end of other files it is not repeatable
            sampling = Sampling(policy="linspace", num_frames=5)
            batch = decode(str(path), sampling, size=size, decoder=decoder, threads=threads)
            digest = hashlib.sha256(batch.frames.tobytes()).hexdigest()
            found[f"{path.name} {decoder} {threads} {size}"] = [digest, batch.indices, batch.seconds]
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is a setting of glibc")
def test_decoding_does_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    """glibc fills every block of memory that it hands out with a byte: no result may tell which."""
    gop = {"g": "8", "bf": "2"}
    write(tmp_path / "even.mp4", 20, size=(50, 66), options=gop)
    write(tmp_path / "444.mkv", 20, size=ODD, pixels="yuv444p", options=gop)
    write(tmp_path / "mpeg4.avi", 20, size=ODD, codec="mpeg4", options={"g": "8"})
    write(tmp_path / "mpeg2.mpg", 20, size=ODD, codec="mpeg2video", options=gop)
    write(tmp_path / "vp8.webm", 20, size=ODD, codec="libvpx", options={"cpu-used": "5", "g": "8"})
    write(tmp_path / "gif.gif", 10, size=ODD, codec="gif", pixels="rgb8", fps=10)
    ways = [("auto", 1), ("auto", 3), ("pyav", 1), *([("decord", 1)] if find_spec("decord") else [])]
    command = [sys.executable, "-c", CODE, str(tmp_path), json.dumps(ways)]
    first, second = (
        json.loads(subprocess.check_output(command, cwd=ROOT, env={**os.environ, "MALLOC_PERTURB_": fill}))
        for fill in ("85", "170")
    )
    assert len(first) >= 6 * 6 * 3
    assert first == second
