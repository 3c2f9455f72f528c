"""Damaged copies of videos, and what decoding them raises: `python -m tests.support.damage FILE ... --count 3000`.

Every copy meets probe() and every decoder, in a child process: a crash or a hang ends the child, is counted, and the
next copy gets another one. Copy and questions follow from the file's name, the seed and the number alone.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from videollm.errors import VideoError
from videollm.types import Clip
from videollm.video.decoding.decode import DECODERS, decode
from videollm.video.preprocessing.scale import FrameSize
from videollm.video.probe import probe
from videollm.video.sampling import POLICIES, Sampling

MEMORY_BYTES = 8 << 30
"""Address space of a child: a header that promises pictures of gigabytes must not take the machine's memory."""
NUMBERS = (b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one decoder (or probe) made of one copy."""

    copy: str
    """FILE#SEED.NUMBER."""
    reader: str
    """`probe` or a name in DECODERS."""
    result: str
    """`ok`, a status, `died`, `hung`, or the type of an exception that is no VideoError."""
    message: str = ""


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes of a file with one to three kinds of damage."""
    copy = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if not copy:
            break
        # headers are a small part of a file, at its start or its end, and half of the damage goes there
        stop = chance.choice((min(len(copy), 2048), len(copy)))
        start = 0 if chance.random() < 0.7 else max(0, len(copy) - stop)
        at = chance.randrange(start, start + stop)
        length = chance.choice((1, 4, 16, 188, 1024))
        DAMAGE[chance.randrange(len(DAMAGE))](copy, at, length, chance)
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


def _move(copy: bytearray, at: int, length: int, chance: random.Random) -> None:
    part = copy[at : at + length]
    del copy[at : at + length]
    to = chance.randrange(len(copy) + 1)
    copy[to:to] = part


DAMAGE: tuple[Callable[[bytearray, int, int, random.Random], None], ...] = (
    _flip,
    _noise,
    _number,
    _zeros,
    _cut_out,
    _cut_off,
    _repeat,
    _move,
)


def ask(reader: str, path: Path, chance: random.Random) -> tuple[str, str]:
    """Probe or decode a copy with options drawn by chance; returns (result, message)."""
    start, end = chance.choice(((None, None), (None, None), (0.1, None), (0.2, 0.5), (None, 0.3)))
    clip = Clip(video=str(path), start=start, end=end, cut_end=chance.random() < 0.5)
    sampling = Sampling(policy=chance.choice(list(POLICIES)), num_frames=chance.choice((1, 4, 9)))  # type: ignore[arg-type]
    size = chance.choice((None, FrameSize(height=32, width=48), FrameSize(height=31, width=31, mode="shortest_edge")))
    exact = FrameSize(height=32, width=32, exact=True)
    options: dict[str, Any] = {"threads": chance.choice((1, 1, 3)), "allow_partial": chance.random() < 0.5}
    try:
        if reader == "probe":
            probe(str(path))
        else:
            decode(clip, sampling, size=chance.choice((size, size, exact)), decoder=reader, **options)
    except VideoError as error:
        return str(error.status), str(error)
    except Exception:
        lines = traceback.format_exc().strip().splitlines()
        where = [line.strip() for line in lines if line.startswith('  File "')]
        return lines[-1].partition(":")[0], f"{lines[-1]} | {' | '.join(where[-3:])}"
    return "ok", ""


def outcomes(
    files: Sequence[Path],
    *,
    count: int,
    seed: int = 0,
    first: int = 0,
    readers: Sequence[str] = ("probe", *DECODERS),
    seconds: float = 60.0,
) -> Iterator[Outcome]:
    """Damage copies of files in turn and yield what every reader made of each.

    Args:
        files: healthy videos.
        count: copies in all.
        seed: other seeds make other copies.
        first: number of the first copy.
        readers: `probe` and names in DECODERS.
        seconds: after which a copy counts as hung.
    """
    position = [first, 0]  # the next copy, and its next reader
    while position[0] < first + count:
        task = {"files": [str(f) for f in files], "seed": seed, "readers": list(readers), "until": first + count}
        with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.damage", "--child", json.dumps({**task, "position": position})],
                cwd=folder,
                env={"PYTHONPATH": str(ROOT), "PATH": "", "TMPDIR": folder},
                stdout=log,
                stderr=subprocess.DEVNULL,
            )
            hung, read = _watch(child, Path(folder) / "log", seconds)
            for line in read:
                yield Outcome(**line["outcome"])
                position = line["next"]
            if position[0] >= first + count:
                return
            result = "hung" if hung else "died"
            yield Outcome(
                copy=_name(files, seed, position[0]),
                reader=readers[position[1]],
                result=result,
                message=f"exit code {child.returncode}",
            )
            position = _after(position, len(readers))


def _watch(child: subprocess.Popen[bytes], log: Path, seconds: float) -> tuple[bool, list[Any]]:
    """Wait for a child; returns whether it had to be killed, and the lines it wrote."""
    size, changed = -1, time.monotonic()
    while child.poll() is None:
        time.sleep(0.05)
        now = log.stat().st_size
        if now != size:
            size, changed = now, time.monotonic()
        elif time.monotonic() - changed > seconds:
            child.kill()
            child.wait()
            return True, [json.loads(line) for line in log.read_text().splitlines()]
    return False, [json.loads(line) for line in log.read_text().splitlines()]


def _child(task: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    files = [Path(f) for f in task["files"]]
    position = task["position"]
    while position[0] < task["until"]:
        number, reader = position[0], task["readers"][position[1]]
        path = make(files, task["seed"], number, Path())
        result, message = ask(reader, path, random.Random(f"{task['seed']}.{number}.{reader}"))
        path.unlink()
        position = _after(position, len(task["readers"]))
        copy = _name(files, task["seed"], number)
        outcome = {"copy": copy, "reader": reader, "result": result, "message": message}
        print(json.dumps({"outcome": outcome, "next": position}), flush=True)


def make(files: Sequence[Path], seed: int, number: int, folder: Path) -> Path:
    """Write a damaged copy."""
    source = files[number % len(files)]
    path = folder.absolute() / f"{number}{source.suffix}"
    path.write_bytes(damaged(source.read_bytes(), random.Random(f"{source.name}.{seed}.{number}")))
    return path


def _after(position: list[int], num_readers: int) -> list[int]:
    number, reader = position
    return [number, reader + 1] if reader + 1 < num_readers else [number + 1, 0]


def _name(files: Sequence[Path], seed: int, number: int) -> str:
    return f"{files[number % len(files)].name}#{seed}.{number}"


def main() -> None:
    """Damage copies by hand and count what comes of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--readers", nargs="+", default=["probe", *DECODERS])
    parser.add_argument("--show", nargs="*", default=[], help="results whose messages are printed besides escapes")
    parser.add_argument("--child", type=json.loads)
    options = parser.parse_args()
    if options.child:
        _child(options.child)
        return
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes(
        options.files, count=options.count, seed=options.seed, first=options.first, readers=options.readers
    ):
        counts[outcome.reader, outcome.result] += 1
        if not outcome.result.islower() or outcome.result in ("died", "hung", *options.show):
            print(outcome.copy, outcome.reader, outcome.result, outcome.message, flush=True)
    for (reader, result), number in sorted(counts.items()):
        print(f"{reader:8} {result:20} {number:6}")


if __name__ == "__main__":
    main()
