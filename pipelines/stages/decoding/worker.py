"""The decoding process, which alone may hang or crash on a bad video.

Run as `python -m pipelines.stages.decoding.worker PARENT`. It reads requests from
stdin and writes answers to what was stdout (see pipelines.stages.decoding.wire), and dies with its parent.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from pipelines.stages.batching import describe_error
from pipelines.stages.decoding import wire
from videollm.errors import VideoError
from videollm.lifeline import die_with
from videollm.types import Clip
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
        try:
            reply, body = _OPERATIONS[request.pop("do")](**request)
        except VideoError as error:
            reply, body = {"status": error.status, "error": str(error)}, memoryview(b"")
        except MemoryError:
            reply, body = {"status": "decode_error", "error": "its frames do not fit into memory"}, memoryview(b"")
        except Exception as error:  # a bug, ours or of a decoder from outside; the next clip is decoded all the same
            trace = "".join(traceback.format_exception(error))
            reply, body = {"status": "internal_error", "error": describe_error(error), "trace": trace}, memoryview(b"")
        wire.write(answers, reply, body)


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
        "decode_seconds": time.perf_counter() - start,
    }
    return header, np.ascontiguousarray(batch.frames).data.cast("B")


def _probe(*, video: str) -> tuple[wire.Header, memoryview]:
    from videollm.video.probe import probe

    return {"status": "ok", "info": asdict(probe(video))}, memoryview(b"")


def _digest(*, video: str) -> tuple[wire.Header, memoryview]:
    from videollm.video.content import content_digest

    return {"status": "ok", "digest": content_digest(video)}, memoryview(b"")


_OPERATIONS: Final[dict[str, Callable[..., tuple[wire.Header, memoryview]]]] = {
    "decode": _decode,
    "probe": _probe,
    "digest": _digest,
}


if __name__ == "__main__":
    main(int(sys.argv[1]))
