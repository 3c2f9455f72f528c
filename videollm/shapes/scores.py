"""Scores on drawn clips: as they are, with their frames shuffled, and blank.

A temporal question cannot be answered from the set of its frames: shuffled frames must bring it to a guess among the
answers that the set leaves open. A blank video must bring every question to a guess.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np

from videollm.errors import UserError
from videollm.models.protocol import VideoModel
from videollm.shapes.clips import QUESTIONS
from videollm.types import Clip, FrameBatch, Request

CLIPS_PER_BATCH: Final = 16


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One question, how each view of its clip was answered, and what guessing would score."""

    kind: str
    temporal: bool
    right: dict[str, bool]
    blind_chance: float
    """Without any frames."""
    unordered_chance: float
    """With the frames but not their order."""


def evaluate(
    model: VideoModel,
    folder: Path,
    *,
    num_frames: int | None = None,
    seed: int = 0,
    on_clips: Callable[[int, int], None] | None = None,
) -> list[Scored]:
    """Ask every question of questions.jsonl on every view of its clip.

    Args:
        num_frames: frames per clip; by default the model's own number.
        seed: fixes the shuffles.
        on_clips: is told the number of clips that are done, and of all.
    Raises:
        UserError: the folder holds no questions.
        VideoError: a clip cannot be decoded.
    """
    if not (folder / QUESTIONS).is_file():
        raise UserError(f"{folder} has no {QUESTIONS}; expected a folder that `videollm make-clips` wrote.")
    by_video: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / QUESTIONS).read_text().splitlines():
        row = json.loads(line)
        by_video.setdefault(row["video"], []).append(row)
    sampling = model.sampling.override(num_frames=num_frames) if num_frames else model.sampling
    videos, scored = list(by_video), []
    for i in range(0, len(videos), CLIPS_PER_BATCH):
        names = videos[i : i + CLIPS_PER_BATCH]
        frames = [model.decode(folder / name, sampling=sampling) for name in names]
        rows = [by_video[name] for name in names]
        texts = {}
        for view, change in VIEWS.items():
            seen = [change(f, random.Random(f"{seed}/{name}")) for f, name in zip(frames, names, strict=True)]
            texts[view] = _answers(model, seen, rows)
        scored += [_score(row, texts) for of_clip in rows for row in of_clip]
        if on_clips is not None:
            on_clips(i + len(names), len(videos))
    return scored


def _score(row: dict[str, Any], texts: dict[str, dict[str, str]]) -> Scored:
    return Scored(
        kind=row["kind"],
        temporal=row["temporal"],
        right={view: answers[row["id"]] == row["answer"] for view, answers in texts.items()},
        blind_chance=1 / row["num_choices"],
        unordered_chance=1 / row["num_unordered"],
    )


def _answers(
    model: VideoModel, frames: Sequence[FrameBatch], rows: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, str]:
    visuals = model.encode(frames, [[r["question"] for r in of_clip] for of_clip in rows])
    items = [
        (visual, [Request(id=r["id"], clip=Clip(video=r["video"]), question=r["question"]) for r in of_clip])
        for visual, of_clip in zip(visuals, rows, strict=True)
    ]
    answers = model.answer_batch(items)
    return {
        request.id: answer.text
        for (_, requests), of_clip in zip(items, answers, strict=True)
        for request, answer in zip(requests, of_clip, strict=True)
    }


def _as_is(frames: FrameBatch, rng: random.Random) -> FrameBatch:
    return frames


def _shuffled(frames: FrameBatch, rng: random.Random) -> FrameBatch:
    order = list(range(len(frames.frames)))
    rng.shuffle(order)
    return replace(frames, frames=frames.frames[order])


def _blank(frames: FrameBatch, rng: random.Random) -> FrameBatch:
    return replace(frames, frames=np.full_like(frames.frames, 128))


VIEWS: Final[dict[str, Callable[[FrameBatch, random.Random], FrameBatch]]] = {
    "as is": _as_is,
    "shuffled": _shuffled,
    "blank": _blank,
}


def report(scored: Sequence[Scored], *, by_kind: bool = False) -> str:
    """Lay accuracies out as a table, with what guessing would score beside them."""
    temporal = [s for s in scored if s.temporal]
    groups = {"all questions": list(scored), "temporal questions": temporal}
    if by_kind:
        groups |= {f"  {k}": [s for s in scored if s.kind == k] for k in sorted({s.kind for s in scored})}
    lines = [f"{'accuracy, %':20}{'n':>6}{'as is':>8}{'shuffled':>10}{'chance':>8}{'blank':>8}{'chance':>8}"]
    for name, group in groups.items():
        if not group:
            continue
        score = {view: 100 * mean(s.right[view] for s in group) for view in VIEWS}
        blind = 100 * mean(s.blind_chance for s in group)
        unordered = "-"  # the set of frames answers what is not temporal
        if all(s.temporal for s in group):
            unordered = f"{100 * mean(s.unordered_chance for s in group):.1f}"
        lines.append(
            f"{name:20}{len(group):6}{score['as is']:8.1f}{score['shuffled']:10.1f}{unordered:>8}"
            f"{score['blank']:8.1f}{blind:8.1f}"
        )
    return "\n".join(lines)
