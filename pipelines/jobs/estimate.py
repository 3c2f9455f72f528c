"""`--dry-run`: what a job would take, from a look at its inputs and a few clips run here; nothing is written."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tqdm import tqdm

from pipelines.cli.options import Batch
from pipelines.executors.sizing import sizes
from pipelines.requests.manifest import Entry, Refused, Task, group
from pipelines.stages.clip_stages import AnswerOptions, Decode, Work, answer, encode, load_model
from pipelines.stages.decoding.client import Decoder, Failure
from pipelines.stages.model_info import Card, card

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


def dry_run(job: Batch, requests: Sequence[Entry | Refused]) -> None:
    """Print videos, hours, frames, visual tokens and an estimated duration."""
    tasks = group([r for r in requests if isinstance(r, Entry)])
    videos = list(dict.fromkeys(t.clip.video for t in tasks))
    num_bad = sum(isinstance(r, Refused) for r in requests)
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


def _print_estimate(job: Batch, tasks: Sequence[Task], num_clips: int) -> None:
    began = time.perf_counter()
    size = sizes(job.workers, device=job.model.device, num_cpus=len(os.sched_getaffinity(0)), num_gpus=_num_gpus(job))
    model = load_model(job.model, size.num_threads)
    start = time.perf_counter() - began
    facts = card(model, job.frames)
    if facts.notice:
        print(facts.notice, file=sys.stderr)
    found = [t for t in (_time(job, model, facts, task) for task in tasks) if t is not None]
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


def _time(job: Batch, model: Any, facts: Card, task: Task) -> Timing | None:
    """One clip through all stages; None where it fails."""
    stage = Decode(facts, job.frames, job.workers.decode_timeout)
    try:
        (work,), frames = stage.run([Work(task=replace(task, entries=task.entries[:8]))])
    finally:
        stage.decoder.close()
    if not isinstance(work, Work):
        return None
    began = time.perf_counter()
    ((work, visual),) = encode(model, [work], [frames])
    if not isinstance(work, Work) or visual is None:
        return None
    options = AnswerOptions(
        model=job.model, generation=job.generation, questions_per_batch=job.workers.questions_per_batch
    )
    answer(model, [work], [visual], options)
    return Timing(
        decode=work.facts.decode_seconds,
        model=(time.perf_counter() - began),
        num_frames=len(work.facts.frame_indices),
        num_visual_tokens=len(visual.tokens),
    )


def _spread(items: Sequence[Any], number: int) -> list[Any]:
    """So many items, evenly spread."""
    if len(items) <= number:
        return list(items)
    return [items[i * len(items) // number] for i in range(number)]


def _num_gpus(job: Batch) -> float:
    import torch

    return 0.0 if job.model.device == "cpu" else float(torch.cuda.device_count())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
