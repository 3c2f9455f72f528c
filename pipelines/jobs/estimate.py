"""`--dry-run`: what a job would take, from a look at its inputs and a few clips run here; nothing is written."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tqdm import tqdm

from pipelines.cli.options import Batch
from pipelines.executors.base import num_cpus_here, num_gpus_here
from pipelines.executors.sizing import size_pools
from pipelines.jobs.run import decode_config
from pipelines.requests.manifest import group
from pipelines.requests.types import BadRequest, ClipTask, JobRequest
from pipelines.stages.base import Advance, Item
from pipelines.stages.decode import Decode
from pipelines.stages.decoding.client import Decoder, Failure
from pipelines.stages.encode import encode
from pipelines.stages.generate import answer
from videollm.models.protocol import ModelInfo

MAX_PROBED: Final = 500
"""Videos looked into; more are counted from these."""
MAX_TIMED: Final = 4
"""Clips that are decoded, encoded and answered (after one to warm up)."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds per clip, and tokens of a clip."""

    decode: float
    model: float
    num_frames: float
    num_visual_tokens: float


def dry_run(job: Batch, requests: Sequence[JobRequest | BadRequest]) -> None:
    """Print videos, hours, frames, visual tokens and an estimated duration."""
    tasks = group([r for r in requests if isinstance(r, JobRequest)])
    videos = list(dict.fromkeys(t.clip.video for t in tasks))
    num_bad = sum(isinstance(r, BadRequest) for r in requests)
    print(f"{len(requests):,} requests on {len(tasks):,} clips of {len(videos):,} videos"
          + (f"; {num_bad:,} rows are no requests" if num_bad else ""))  # fmt: skip
    decoder = Decoder(timeout_seconds=job.workers.decode_timeout)
    try:
        broken = _print_probed(decoder, videos)
        timed = [t for t in _spread(tasks, 4 * MAX_TIMED) if t.clip.video not in broken][: MAX_TIMED + 1]
        if timed:
            _print_estimate(job, timed, len(tasks))
        else:
            print("no clip could be timed")
    finally:
        decoder.close()


def _print_probed(decoder: Decoder, videos: Sequence[str]) -> set[str]:
    """Probe, print, and return the videos that failed."""
    seconds, errors, shapes = [], Counter[str](), Counter[str]()
    failed: dict[str, str] = {}
    chosen = _spread(videos, MAX_PROBED)
    for video in tqdm(chosen, unit="video", disable=None, leave=False):
        info = decoder.probe(video)
        if isinstance(info, Failure):
            errors[info.status] += 1
            failed[video] = info.error
        else:
            seconds.append(info["duration_seconds"])
            shapes[f"{info['codec']} {info['width']}x{info['height']}"] += 1
    share = len(videos) / max(len(chosen), 1)
    about = "" if share == 1 else f" (counted from {len(chosen):,} probed)"
    print(f"{sum(seconds) * share / 3600:,.2f} hours of video{about}")
    print(f"formats: {', '.join(f'{n:,} {shape}' for shape, n in shapes.most_common(5)) or 'none'}")
    if errors:
        print(f"not readable{about}: {', '.join(f'{n * share:,.0f} {s}' for s, n in errors.most_common())}")
        for video, error in list(failed.items())[:5]:
            print(f"  {video}: {error}")
    return set(failed)


def _print_estimate(job: Batch, tasks: Sequence[ClipTask], num_clips: int) -> None:
    began = time.perf_counter()
    size = size_pools(job.workers.wanted(), device=job.model.device, num_cpus=num_cpus_here(),
                      num_gpus=num_gpus_here(), on_cluster=job.workers.address is not None)  # fmt: skip
    model = job.model.spec().load(num_threads=size.num_threads)
    start = time.perf_counter() - began
    info = model.describe()
    if info.notice:
        print(info.notice, file=sys.stderr)
    found = [t for t in (_time(job, model, info, task) for task in tasks) if t is not None]
    found = found[1:] or found  # the first one warms up
    if not found:
        print("no clip could be timed")
        return
    decode, tower, frames, tokens = (sum(getattr(t, n) for t in found) / len(found)
                                     for n in ("decode", "model", "num_frames", "num_visual_tokens"))  # fmt: skip
    slowest = max(decode / size.num_decoders, tower / size.num_llms)
    print(f"{frames * num_clips:,.0f} frames, {tokens * num_clips:,.0f} visual tokens ({tokens:,.0f} a clip)")
    print(f"a clip: {decode:.3f} s to decode, {tower:.3f} s to encode and answer ({len(found)} timed, one at a time)")
    print(f"about {_duration(start + slowest * num_clips)} with {size.num_decoders} decoders and {size.num_llms} models"
          f" on {model.device}")  # fmt: skip


def _time(job: Batch, model: Any, info: ModelInfo, task: ClipTask) -> Timing | None:
    """Take one clip through all stages; None where it fails."""
    stage = Decode(decode_config(job, None, info))
    few = replace(task, requests=task.requests[:8])
    try:
        (decoded,) = stage.run([Item(task=few, model=info.name, connector=info.connector)])
    finally:
        stage.teardown()
    if not isinstance(decoded, Advance):
        return None
    began = time.perf_counter()
    (encoded,) = encode(model, [decoded.item])
    if not isinstance(encoded, Advance):
        return None
    answer(model, [encoded.item], job.generation.given(), job.workers.questions_per_batch)
    return Timing(
        decode=encoded.item.info.decode_seconds,
        model=time.perf_counter() - began,
        num_frames=len(encoded.item.info.frame_indices),
        num_visual_tokens=len(encoded.item.payload.tokens),  # type: ignore[union-attr]
    )


def _spread(items: Sequence[Any], number: int) -> list[Any]:
    """So many items, evenly spread."""
    if len(items) <= number:
        return list(items)
    return [items[i * len(items) // number] for i in range(number)]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
