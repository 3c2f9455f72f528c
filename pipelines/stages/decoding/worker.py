"""The decoding process, which alone may hang or crash on a bad video.

Run as `python -m pipelines.stages.decoding.worker PARENT`. It reads requests from
stdin and writes answers to what was stdout (see pipelines.stages.decoding.wire), and dies with its parent.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from pipelines.stages.batching import describe_error
from pipelines.stages.decoding import wire
from videollm.errors import VideoError
from videollm.lifeline import die_with
from videollm.types import Clip, FrameBatch
from videollm.video.decoding.decode import decode
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling

NICENESS: Final = 5
"""Decoders, which run ahead of the model, leave it the CPU while it loads and where it runs on the CPU too."""


def main(parent: int) -> None:
    """Serve until the parent is gone."""
    die_with(parent)
    os.nice(NICENESS)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the answers
    wire.write(answers, {"status": "ready"})
    while True:
        try:
            request, _ = wire.read(0)
        except EOFError:
            return
        if request["do"] == "decode_windows":
            for reply, body in _decode_windows(**{name: value for name, value in request.items() if name != "do"}):
                wire.write(answers, reply, body)
            continue
        try:
            reply, body = _OPERATIONS[request.pop("do")](**request)
        except Exception as error:
            reply, body = _failure(error), memoryview(b"")
        wire.write(answers, reply, body)


def _failure(error: Exception) -> wire.Header:
    """Say why there are no frames; a bug, ours or of a decoder from outside, does not keep the next clip from its."""
    if isinstance(error, VideoError):
        return {"status": error.status, "error": str(error)}
    if isinstance(error, MemoryError):
        return {"status": "decode_error", "error": "its frames do not fit into memory"}
    trace = "".join(traceback.format_exception(error))
    return {"status": "internal_error", "error": describe_error(error), "trace": trace}


def _decode(
    *, clip: dict[str, Any], sampling: dict[str, Any], size: dict[str, Any] | None, decoder: str, allow_partial: bool
) -> tuple[wire.Header, memoryview]:
    start = time.perf_counter()
    batch = decode(
        Clip(**clip),
        Sampling.from_dict(sampling),
        size=None if size is None else FrameSize(**size),
        decoder=decoder,
        allow_partial=allow_partial,
    )
    return _frames(batch, time.perf_counter() - start)


def _decode_windows(
    *,
    clips: list[dict[str, Any]],
    sampling: dict[str, Any],
    size: dict[str, Any] | None,
    decoder: str,
    allow_partial: bool,
) -> Iterator[tuple[wire.Header, memoryview]]:
    """Yield a reply for each window, as soon as it is whole, in any order."""
    from videollm.video.decoding.windows import decode_windows

    left = dict.fromkeys(range(len(clips)))
    start = time.perf_counter()
    try:
        whole = Clip(**{**clips[0], "start": None, "end": None})
        for window in decode_windows(
            whole,
            [(clip["start"], clip["end"]) for clip in clips],
            Sampling.from_dict(sampling),
            size=None if size is None else FrameSize(**size),
            decoder=decoder,
            allow_partial=allow_partial,
        ):
            now = time.perf_counter()
            if window.error is not None:
                made = _failure(window.error), memoryview(b"")
            else:
                assert window.batch is not None
                made = _frames(window.batch, now - start)
            start = now
            del left[window.number]
            made[0]["window"] = window.number
            yield made
    except Exception as error:  # of the file, or a bug: it ends all that is left
        for number in left:
            yield {**_failure(error), "window": number}, memoryview(b"")


def _frames(batch: FrameBatch, seconds: float) -> tuple[wire.Header, memoryview]:
    header = {
        "status": "ok",
        "shape": batch.frames.shape,
        "indices": [int(i) for i in batch.indices],
        "seconds": [float(s) for s in batch.seconds],
        "missing": [int(i) for i in batch.missing],
        "model_seconds": [float(s) for s in batch.model_seconds],
        "packing": batch.packing,
        "fps": batch.fps,
        "num_in_range": batch.num_in_range,
        "video_hash": batch.video_hash,
        "decoder": batch.decoder,
        "decode_seconds": seconds,
    }
    return header, np.ascontiguousarray(batch.frames).data.cast("B")


def _probe(*, video: str) -> tuple[wire.Header, memoryview]:
    from videollm.video.probe import probe

    return {"status": "ok", "info": asdict(probe(video))}, memoryview(b"")


def _survey(*, clip: dict[str, Any], cues: str) -> tuple[wire.Header, memoryview]:
    from videollm.video.surveys import survey

    return {"status": "ok", "survey": survey(Clip(**clip), cues or None).to_dict()}, memoryview(b"")


def _digest(*, video: str) -> tuple[wire.Header, memoryview]:
    from videollm.video.content import content_digest

    return {"status": "ok", "digest": content_digest(video)}, memoryview(b"")


_OPERATIONS: Final[dict[str, Callable[..., tuple[wire.Header, memoryview]]]] = {
    "decode": _decode,
    "probe": _probe,
    "digest": _digest,
    "survey": _survey,
}


if __name__ == "__main__":
    main(int(sys.argv[1]))
