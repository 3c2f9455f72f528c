"""Thumbnails of the frames that a model saw: decoded again, checked against the rows, bounded in size."""

from __future__ import annotations

import io
import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.evals.settings import latest_fact
from pipelines.results.schema import Row
from pipelines.stages.decoding.client import Decoder, Failure
from videollm.errors import UserError
from videollm.io import is_remote
from videollm.types import Clip, FrameBatch

TIMEOUT_SECONDS: Final = 120.0
SAME_SECONDS: Final = 0.001
"""Times closer than this are of the same frame."""
AS_SAMPLED: Final = (None, "single")
"""Strategies that look at the frames which the run's sampling names."""
STEPS: Final = (
    *((1.0, 72, 1.0), (1.0, 50, 1.0), (0.75, 50, 1.0)),
    *((0.75, 45, 0.5), (0.5, 45, 0.5), (0.5, 40, 0.25), (0.5, 30, 0.0)),
)
"""Share of the height, JPEG quality, share of the number: taken one after the other until a clip's pictures fit."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Frames of a clip that a run looked at."""

    clip: Clip
    """Its video is a path on this machine, or a URL."""
    indices: tuple[int, ...]
    """Display index of every frame, as the rows have it."""
    seconds: tuple[float, ...]
    video_hash: str | None = None
    """Of the video as the run read it; None: it is not known."""
    sampling: Mapping[str, Any] | None = field(default=None, compare=False)
    """How the run chose them: fields of videollm.Sampling; None: it does not say, or a strategy did."""
    decoder: str = field(default="auto", compare=False)
    allow_partial: bool = field(default=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of some frames of a strip."""

    places: tuple[int, ...] = ()
    """Which frames of the strip they are."""
    jpegs: tuple[bytes, ...] = ()
    video_seconds: float | None = None
    """Length of the whole video, where it is not known from the clip and the video says it."""
    missing: str | None = None
    """Why there are none."""


@dataclass(frozen=True, kw_only=True)
class PictureSpec:
    """How many pictures are made, and how large.

    Raises:
        UserError: a value is out of range.
    """

    megabytes: float = 30.0
    """Bound on all pictures together, as the page holds them (base64); 0: none are made."""
    per_clip: int = 8
    """Most pictures per clip, evenly spread over its frames."""
    height: int = 120
    """Pixels."""

    def __post_init__(self) -> None:
        if self.megabytes < 0 or self.per_clip < 1 or self.height < 16:
            raise UserError(
                f"Got --thumbnail-megabytes {self.megabytes:g}, --thumbnails-per-clip {self.per_clip}, --height "
                f"{self.height}; expected at least 0, 1 and 16 (0 megabytes leave pictures out)."
            )


def strip_of(row: Row, clip: Clip, record: Mapping[str, Any]) -> Strip:
    """Say which frames a row is of.

    Args:
        clip: of the row; its video is a path on this machine, or a URL.
        record: run.json of the row's run.
    """
    config = record["config"]
    return Strip(
        clip=clip,
        indices=tuple(row["frame_indices"]),
        seconds=tuple(row["frame_seconds"]),
        video_hash=row.get("video_hash"),
        sampling=latest_fact(record, "sampling") if row.get("strategy") in AS_SAMPLED else None,
        decoder=config.get("decoder", "auto"),
        allow_partial=config.get("allow_partial", False),
    )


def make_pictures(
    strips: Sequence[Strip], spec: PictureSpec, on_made: Callable[[int, int], None] | None = None
) -> list[Pictures]:
    """Make the pictures of all strips, which get equal shares of the room.

    Args:
        on_made: called after every strip, by one thread at a time, with the number of strips made and of all.
    """
    if not strips or not spec.megabytes:
        return [Pictures(missing="The report was made without pictures (--thumbnail-megabytes 0).") for _ in strips]
    share = int(spec.megabytes * 1e6) // len(strips)
    made: list[Pictures | None] = [None] * len(strips)
    left, done = iter(enumerate(strips)), itertools.count(1)
    lock, stop = threading.Lock(), threading.Event()

    def work() -> None:
        """Make pictures in a thread with a decoder of its own, which no other thread may use."""
        decoder = Decoder(timeout_seconds=TIMEOUT_SECONDS)
        try:
            while not stop.is_set():
                with lock:
                    i, strip = next(left, (-1, None))
                if strip is None:
                    return
                made[i] = _pictures(strip, decoder, spec, share)
                with lock:
                    if on_made is not None:
                        on_made(next(done), len(strips))
        finally:
            decoder.close()

    num_threads = min(_num_cpus(), len(strips))
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for thread in [pool.submit(work) for _ in range(num_threads)]:
                thread.result()
        finally:
            stop.set()
    return [p for p in made if p is not None]


def _pictures(strip: Strip, decoder: Decoder, spec: PictureSpec, share: int) -> Pictures:
    if is_remote(strip.clip.video):
        return Pictures(missing=f"The video is remote ({strip.clip.video}); a report fetches nothing.")
    if strip.sampling is None:
        return Pictures(missing="run.json does not say how frames were chosen, or a strategy chose them.")
    size = {"height": spec.height, "width": spec.height, "mode": "shortest_edge"}
    found = decoder.decode(strip.clip, strip.sampling, size, decoder=strip.decoder, allow_partial=strip.allow_partial)
    if isinstance(found, Failure):
        return Pictures(missing=f"The video cannot be read any more: {found.status}: {found.error}")
    batch, _ = found
    info = decoder.probe(strip.clip.video) if strip.clip.end is None or strip.clip.cut_end else None
    video_seconds = None if info is None or isinstance(info, Failure) else info["duration_seconds"]
    if difference := _difference(strip, batch):
        return Pictures(video_seconds=video_seconds, missing=f"The video is not the one the run saw: {difference}")
    places, jpegs = _fit(batch.frames, _distinct(strip.indices), spec, share)
    missing = None if jpegs else f"{share:,} bytes a clip are too few for a picture (--thumbnail-megabytes)."
    return Pictures(places=places, jpegs=jpegs, video_seconds=video_seconds, missing=missing)


def _num_cpus() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _difference(strip: Strip, batch: FrameBatch) -> str | None:
    """Say how the video differs now from the one that the run saw; None: no difference is known."""
    if batch.indices != strip.indices:
        return f"it gives frames {_some(batch.indices)} where the run saw {_some(strip.indices)}."
    if any(abs(now - then) > SAME_SECONDS for now, then in zip(batch.seconds, strip.seconds, strict=True)):
        return "its frames have other times."
    if None not in (strip.video_hash, batch.video_hash) and strip.video_hash != batch.video_hash:
        return "its content has changed."
    return None


def _some(indices: Sequence[int]) -> str:
    return ", ".join(map(str, indices[:4])) + (f", ... ({len(indices)} frames)" if len(indices) > 4 else "")


def _distinct(indices: Sequence[int]) -> list[int]:
    """Return the places of distinct frames: sampling repeats frames of short videos."""
    return [i for i, index in enumerate(indices) if index not in indices[:i]]


def _fit(
    frames: NDArray[np.uint8], candidates: Sequence[int], spec: PictureSpec, share: int
) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
    """Make as many pictures as possible, as good as possible, within a share of the room.

    Args:
        frames: (t h w c) RGB, their short side `spec.height` pixels.
        candidates: frames to choose from.
        share: bytes of base64.
    Returns:
        Places of the chosen frames, and their JPEGs.
    """
    for scale, quality, part in STEPS:
        places = _evenly(candidates, max(1, round(spec.per_clip * part)))
        jpegs = tuple(_jpeg(frames[i], max(1, round(spec.height * scale)), quality) for i in places)
        if sum(_base64_size(j) for j in jpegs) <= share:
            return places, jpegs
    return (), ()


def _evenly(items: Sequence[int], num: int) -> tuple[int, ...]:
    """Choose at most `num` items, with the first and the last; a single item from the middle."""
    if len(items) <= num:
        return tuple(items)
    if num == 1:
        return (items[len(items) // 2],)
    return tuple(items[round(i * (len(items) - 1) / (num - 1))] for i in range(num))


def _jpeg(frame: NDArray[np.uint8], height: int, quality: int) -> bytes:
    image = Image.fromarray(frame)
    if image.height != height:
        image = image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality, optimize=True)
    return data.getvalue()


def _base64_size(data: bytes) -> int:
    return 4 * ((len(data) + 2) // 3)
