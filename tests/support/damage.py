"""Damaged copies of videos, and what becomes of reading them.

`python -m tests.support.damage FILE ... --count 3000` counts it for files of one's own. A copy, and how it is read,
follow from its file, the seed and its number. Reading happens in a child process, which a crash or a hang may end.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support.clips import edit_list, picture, remux, write
from tests.support.paths import ROOT
from videollm.errors import VideoError
from videollm.types import Clip
from videollm.video.decoding.base import DECODERS
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing import FrameSize
from videollm.video.probe import probe
from videollm.video.sampling import Sampling

READERS = ("probe", *DECODERS)
MEMORY_BYTES = 8 << 30
"""Address space of a child: a header that promises huge pictures must not take the machine's memory."""
COPIES_PER_CHILD = 100
NUMBERS = (b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0")
SAMPLINGS: tuple[dict[str, Any], ...] = (
    {"policy": "segment_centers", "num_frames": 1},
    {"policy": "segment_centers", "num_frames": 9},
    {"policy": "linspace", "num_frames": 5},
    {"policy": "every", "every_seconds": 0.2},
    {"policy": "fps_stride", "every_seconds": 0.2},
    {"policy": "fps_pack"},
)
RANGES = ((None, None), (None, None), (0.1, None), (0.2, 0.5), (None, 0.3))
SIZES = (
    None,
    FrameSize(height=32, width=48),
    FrameSize(height=31, width=31, mode="shortest_edge"),
    FrameSize(height=32, width=32, exact=True),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of reading one copy in one way."""

    copy: str
    """FILE#SEED.NUMBER."""
    reader: str
    """One of READERS."""
    result: str
    """`ok`, the status of a VideoError, `died`, `hung`, or the type of any other exception."""
    message: str = ""


def sources(folder: Path) -> list[Path]:
    """Write healthy files to damage: every container, the common codecs, images."""
    count, size, x264 = 24, (48, 96), {"g": "8", "bf": "2"}
    base = write(folder / "h264.mp4", count, size=size, options=x264)
    pictures = [Image.fromarray(picture(number, *size)) for number in range(4)]
    for suffix in ("png", "jpg", "tif", "webp"):
        several = {} if suffix == "jpg" else {"save_all": True, "append_images": pictures[1:]}
        pictures[0].save(folder / f"pictures.{suffix}", **several)
    return [
        base,
        remux(base, folder / "fragments.mp4", mux={"movflags": "frag_keyframe+empty_moov"}),
        edit_list(base, folder / "edit.mp4", [(0, 10), (14, 24)]),
        remux(base, folder / "h264.mov"),
        remux(base, folder / "h264.mkv"),
        remux(base, folder / "h264.ts", offset_seconds=5),
        remux(base, folder / "h264.flv"),
        write(folder / "h264.avi", count, size=size, options=x264),
        write(folder / "h264.h264", count, size=size, options=x264),
        write(folder / "vp8.webm", count, size=size, codec="libvpx", options={"cpu-used": "5", "g": "8"}),
        write(folder / "mpeg4.avi", count, size=size, codec="mpeg4", options={"g": "8"}),
        write(folder / "mpeg2.mpg", count, size=size, codec="mpeg2video", options={"g": "8", "bf": "2"}),
        write(folder / "gif.gif", 12, size=size, codec="gif", pixels="rgb8", fps=10),
        *sorted(folder.glob("pictures.*")),
    ]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return a file's bytes with one to three kinds of damage, half of it in the first or last 2 kB: the headers."""
    copy = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if not copy:
            break
        reach = chance.choice((min(len(copy), 2048), len(copy)))
        at = chance.randrange(reach)
        at = at if chance.random() < 0.7 else len(copy) - 1 - at
        chance.choice(DAMAGE)(copy, at, chance.choice((1, 4, 16, 188, 1024)), chance)
    return bytes(copy)


def _flip(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    for _ in range(length):
        copy[min(len(copy) - 1, at + chance.randrange(2 * length))] ^= 1 << chance.randrange(8)


def _noise(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    copy[at : at + length] = chance.randbytes(length)


def _number(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    copy[at : at + 4] = chance.choice(NUMBERS)


def _zeros(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    copy[at : at + length] = bytes(length)


def _cut_out(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    del copy[at : at + length]


def _cut_off(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    del copy[at:]


def _repeat(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    copy[at:at] = copy[at : at + length]


DAMAGE: tuple[Callable[[bytearray, int, int, random.Random], None], ...] = (
    _flip,
    _noise,
    _number,
    _zeros,
    _cut_out,
    _cut_off,
    _repeat,
)


def outcomes(
    files: Sequence[Path], *, count: int, seed: int = 0, readers: Sequence[str] = READERS, seconds: float = 300.0
) -> Iterator[Outcome]:
    """Damage copies of files in turn, and yield what every reader makes of every copy.

    Args:
        files: healthy videos.
        count: copies in all.
        seed: other seeds make other copies.
        readers: some of READERS.
        seconds: that a child may take for its copies; what it reads then has hung.
    """
    questions = [(number, reader) for number in range(count) for reader in readers]
    per_child = COPIES_PER_CHILD * len(readers)
    while questions:
        asked = questions[:per_child]
        with tempfile.TemporaryDirectory() as folder:
            answers, end = _run_child(Path(folder), {"files": [str(f) for f in files], "seed": seed}, asked, seconds)
        yield from answers
        if len(answers) < len(asked):  # the child ended over the next question
            number, reader = asked[len(answers)]
            yield Outcome(copy=_name(files, seed, number), reader=reader, result=end)
            answers.append(None)
        questions = questions[len(answers) :]


def _run_child(
    folder: Path, task: dict[str, Any], asked: Sequence[tuple[int, str]], seconds: float
) -> tuple[list[Any], str]:
    """Ask a child; returns its answers, and how it ended if it did not answer all."""
    (folder / "task.json").write_text(json.dumps({**task, "asked": asked}))
    command = [sys.executable, "-m", "tests.support.damage", "--child", str(folder)]
    with (folder / "answers").open("w") as out:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.DEVNULL)
        try:
            child.wait(seconds)
            end = "died"
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            end = "hung"
    return [Outcome(**json.loads(line)) for line in (folder / "answers").read_text().splitlines()], end


def _answer(folder: Path) -> None:
    """Be the child: read the copies in a folder of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    task = json.loads((folder / "task.json").read_text())
    files, seed = [Path(f) for f in task["files"]], task["seed"]
    for number, reader in task["asked"]:
        path = make_copy(files, seed, number, folder)
        result, message = _read(reader, path, random.Random(f"{seed}.{number}.{reader}"))
        path.unlink()
        answer = {"copy": _name(files, seed, number), "reader": reader, "result": result, "message": message}
        print(json.dumps(answer), flush=True)


def make_copy(files: Sequence[Path], seed: int, number: int, folder: Path) -> Path:
    """Write a damaged copy."""
    source = files[number % len(files)]
    path = folder / f"{number}{source.suffix}"
    path.write_bytes(damaged(source.read_bytes(), random.Random(f"{source.name}.{seed}.{number}")))
    return path


def _read(reader: str, path: Path, chance: random.Random) -> tuple[str, str]:
    """Read a copy with options drawn by chance; returns (result, message)."""
    start, end = chance.choice(RANGES)
    clip = Clip(video=str(path), start=start, end=end, cut_end=chance.random() < 0.5)
    sampling, size = Sampling(**chance.choice(SAMPLINGS)), chance.choice(SIZES)
    threads, allow_partial = chance.choice((1, 1, 3)), chance.random() < 0.5
    try:
        if reader == "probe":
            probe(str(path))
        else:
            decode(clip, sampling, size=size, decoder=reader, threads=threads, allow_partial=allow_partial)
    except VideoError as error:
        return str(error.status), str(error)
    except Exception as error:
        return type(error).__name__, traceback.format_exc()
    return "ok", ""


def _name(files: Sequence[Path], seed: int, number: int) -> str:
    return f"{files[number % len(files)].name}#{seed}.{number}"


def main() -> None:
    """Damage copies of files and count what becomes of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="healthy videos; small ones of every kind if not given")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=300.0, help="of a child, for 100 copies")
    parser.add_argument("--readers", nargs="+", default=READERS)
    parser.add_argument("--show", nargs="*", default=(), help="results to print; those that are no status always are")
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child:
        _answer(options.child)
        return
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or sources(Path(folder))
        how = {"count": options.count, "seed": options.seed, "readers": options.readers, "seconds": options.seconds}
        for outcome in outcomes(files, **how):
            counts[outcome.reader, outcome.result] += 1
            if not outcome.result.islower() or outcome.result in ("died", "hung", *options.show):
                print(outcome.copy, outcome.reader, outcome.result, outcome.message, flush=True)
    for (reader, result), number in sorted(counts.items()):
        print(f"{reader:8} {result:24} {number:6}")


if __name__ == "__main__":
    main()
