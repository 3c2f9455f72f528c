"""`--dry-run`: an estimate of a job from probed inputs and a few clips run here; nothing is written."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tqdm import tqdm

from pipelines.executors.base import Resources, num_cpus_here, num_gpus_here
from pipelines.jobs.plan import Plan, make_items
from pipelines.requests.types import ClipTask
from pipelines.stages.base import Advance, Item, Stage
from pipelines.stages.decoding.client import Decoder, Failure
from pipelines.stages.model import Answer, EncodeAnswer, encode
from videollm.models.protocol import Visual
from videollm.types import Room

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
    room: Room | None
    """Memory of the LLM that the clip takes."""


def dry_run(plan: Plan) -> None:
    """Print videos, hours, frames, visual tokens and an estimated duration."""
    tasks = plan.tasks
    videos = list(dict.fromkeys(t.clip.video for t in tasks))
    print(f"{len(plan.requests):,} requests on {len(tasks):,} clips of {len(videos):,} videos"
          + (f"; {len(plan.bad):,} rows are no requests" if plan.bad else ""))  # fmt: skip
    decoder = Decoder(timeout_seconds=plan.resolved.job.workers.decode_timeout_seconds)
    try:
        broken = _print_probed(decoder, videos)
    finally:
        decoder.close()
    timed = [t for t in spread(tasks, 4 * MAX_TIMED) if t.clip.video not in broken][: MAX_TIMED + 1]
    if timed:
        print_estimate(plan, timed, len(tasks))
    else:
        print("no clip could be timed")


def _print_probed(decoder: Decoder, videos: Sequence[str]) -> set[str]:
    """Probe, print, and return the videos that failed."""
    seconds, errors, shapes = [], Counter[str](), Counter[str]()
    failed: dict[str, str] = {}
    chosen = spread(videos, MAX_PROBED)
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


def print_estimate(plan: Plan, tasks: Sequence[ClipTask], num_clips: int) -> None:
    """Time clips, and print frames, tokens and hours of a job.

    Args:
        tasks: some of the job's clips.
        num_clips: all of them.
    """
    began = time.perf_counter()
    here = Resources(num_cpus=num_cpus_here(), num_gpus=num_gpus_here())
    size = plan.sizes(here)
    stage = EncodeAnswer(plan.answer_config(size))
    info = stage.setup()
    start = time.perf_counter() - began
    if info.notice:
        print(info.notice, file=sys.stderr)
    decode_stage = plan.decode_stage(size, info).build()
    items = [item for item in make_items(map(_few, tasks), info) if item is not None]
    try:
        timings = [_time(decode_stage, stage, item) for item in items]
    finally:
        decode_stage.teardown()
    found = [t for t in timings if t is not None]
    found = found[1:] or found  # the first one warms up
    if not found:
        print("no clip could be timed")
        return
    decode, model, frames, tokens = (sum(getattr(t, n) for t in found) / len(found)
                                     for n in ("decode", "model", "num_frames", "num_visual_tokens"))  # fmt: skip
    slowest = max(decode / size.num_decoders, model / size.num_llms)
    print(f"{frames * num_clips:,.0f} frames, {tokens * num_clips:,.0f} visual tokens ({tokens:,.0f} a clip)")
    print(f"a clip: {decode:.3f} s to decode, {model:.3f} s to encode and answer ({len(found)} timed, one at a time)")
    if rooms := [t.room for t in found if t.room is not None]:
        needed, available = max(1, *(room.needed for room in rooms)), rooms[0].available
        print(f"keys and values: {needed / 1e6:,.1f} MB a clip at most, {available / 1e9:,.1f} GB in all: at once"
              f" {max(1, available // needed):,} clips, and {rooms[0].max_prompts:,} questions at most")  # fmt: skip
    print(f"about {_duration(start + slowest * num_clips)} with {size.num_decoders} decoders and {size.num_llms} models"
          f" on {stage.model.device}")  # fmt: skip


def _time(decode_stage: Stage, stage: EncodeAnswer, item: Item) -> Timing | None:
    """Take one clip through all stages; None where a stage fails."""
    (decoded,) = decode_stage.run([item])
    if not isinstance(decoded, Advance):
        return None
    began = time.perf_counter()
    (encoded,) = encode(stage.model, [decoded.item])
    if not isinstance(encoded, Advance):
        return None
    room = stage.room(encoded.item)
    visual: Visual | None = encoded.item.payload  # type: ignore[assignment]
    Answer.add(stage, {0: encoded.item})
    while stage.num_items:
        stage.advance()
    return Timing(
        decode=encoded.item.info.decode_seconds,
        model=time.perf_counter() - began,
        num_frames=len(encoded.item.info.frame_indices),
        num_visual_tokens=0 if visual is None else len(visual.tokens),
        room=room,
    )


def _few(task: ClipTask) -> ClipTask:
    return replace(task, requests=task.requests[:8])


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """Choose at most `number` items, evenly spread."""
    if len(items) <= number:
        return list(items)
    return [items[i * len(items) // number] for i in range(number)]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
