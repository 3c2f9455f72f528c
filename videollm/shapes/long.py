"""Long videos as H.264 files with their timelines, questions and controls."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from videollm.errors import UserError
from videollm.io import atomic_write
from videollm.shapes.clips import ENCODER, QUESTIONS
from videollm.shapes.long_questions import LongQuestion, ask_long, ask_removed, ask_shuffled
from videollm.shapes.timeline import MIN_SLOTS, LongVideo, Segment, long_video, shuffled, without_needle
from videollm.shapes.world import draw

TIMELINES: Final = "timeline.json"
"""What every video shows when."""
CONTROLS: Final = ("removed", "shuffled", "blank")
"""The needle gone; the events in another order; nothing but the ground."""


@dataclass(frozen=True, kw_only=True)
class LongConfig:
    """Which long videos to draw."""

    minutes: tuple[float, ...]
    """Lengths; of each, num_clips videos."""
    num_clips: int = 4
    """Number of videos of a length."""
    seed: int = 0
    """Another seed draws other timelines."""
    seconds: float = 4.0
    """Time for which every event is seen."""
    fps: int = 8
    """Frames per second."""
    size: int = 96
    """Pixels per side; even."""
    controls: tuple[str, ...] = CONTROLS
    """Other videos that are written of each."""

    def __post_init__(self) -> None:
        if unknown := set(self.controls) - set(CONTROLS):
            raise UserError(f"controls got {', '.join(sorted(unknown))}; expected some of {', '.join(CONTROLS)}.")
        if self.num_clips < 1 or self.size < 32 or self.size % 2 or self.fps < 1 or self.event_frames < 2:
            raise UserError(
                f"Got {self.num_clips} videos at {self.size} pixels, with events of {self.seconds} s at {self.fps} "
                "frames per second; expected at least 1 at an even size of at least 32 pixels, with 2 frames an event."
            )
        least = (MIN_SLOTS + 1) * self.seconds / 60
        if not self.minutes or len(set(self.minutes)) < len(self.minutes) or min(self.minutes) < least * (1 - 1e-9):
            raise UserError(
                f"minutes got {self.minutes}; expected one length or several different ones of at least {least:.2f}, "
                f"which hold {MIN_SLOTS} events of {self.seconds} s each; make events shorter with --seconds."
            )

    @property
    def event_frames(self) -> int:
        """Frames of an event."""
        return round(self.seconds * self.fps)


def write_long(folder: Path, config: LongConfig, *, on_video: Callable[[int], None] | None = None) -> int:
    """Write long videos, their timelines and questions into a folder; a video that is there already is kept.

    Memory does not grow with the length: a still picture is drawn once and encoded as often as it is seen.

    Args:
        on_video: is told the number of files that are done, of `num_files`.
    Returns:
        The number of questions, controls included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    timelines: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for done, (name, video, asked, split, minutes) in enumerate(_views(config), 1):
        write_segments(folder / name, video, size=config.size)
        timelines[name] = {"split": split, "minutes": minutes, "fps": config.fps, **video.to_dict()}
        rows += [_row(name, i, q, video, split, minutes) for i, q in enumerate(asked)]
        if on_video is not None:
            on_video(done)
    with atomic_write(folder / TIMELINES) as scratch:
        scratch.write_text(json.dumps(timelines))
    with atomic_write(folder / QUESTIONS) as scratch:
        scratch.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def num_files(config: LongConfig) -> int:
    """Return the number of videos, controls included."""
    return len(config.minutes) * config.num_clips * (1 + len(config.controls))


def write_segments(path: Path, video: LongVideo, *, size: int) -> None:
    """Encode a timeline as H.264 in mp4 (yuv420p); the file appears when it is whole."""
    if path.exists():
        return
    import av

    with atomic_write(path) as scratch, av.open(str(scratch), "w", format="mp4") as container:
        options = {**ENCODER, "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=Fraction(video.fps), options=options)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for segment in video.segments:
            picture = av.VideoFrame.from_ndarray(draw((segment.scene,), 0.5, size), format="rgb24")
            frame = picture.reformat(format="yuv420p")
            for number in range(segment.first_frame, segment.end_frame):
                frame.pts, frame.time_base = number, Fraction(1, video.fps)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


View = tuple[str, LongVideo, list[LongQuestion], str, float]
"""File, what it shows, what is asked about it, its split and its minutes."""


def _views(config: LongConfig) -> Iterator[View]:
    """Yield every video and its controls."""
    for minutes in config.minutes:
        deciles = random.Random(f"long/{config.seed}/{minutes:g}").sample(range(10), 10)
        for i in range(config.num_clips):
            rng = random.Random(f"long/{config.seed}/{minutes:g}/{i}")
            # One needle in each tenth of the video before any tenth has a second one.
            video = long_video(
                rng,
                num_frames=round(minutes * 60 * config.fps),
                event_frames=config.event_frames,
                fps=config.fps,
                decile=deciles[i % 10],
            )
            asked, stem = ask_long(video, rng), f"{config.seed:03d}-{minutes:g}m-{i:05d}"
            yield f"{stem}.mp4", video, asked, "test", minutes
            for control in config.controls:
                other, questions = _control(control, video, asked, random.Random(f"{stem}/{control}"))
                yield f"{stem}.{control}.mp4", other, questions, control, minutes


def _control(
    control: str, video: LongVideo, asked: list[LongQuestion], rng: random.Random
) -> tuple[LongVideo, list[LongQuestion]]:
    if control == "removed":
        return without_needle(video, rng), ask_removed(video, rng)
    if control == "shuffled":
        other = shuffled(video, rng)
        return other, ask_shuffled(other, asked)
    ground = Segment(first_frame=0, end_frame=video.num_frames, background="gray")
    return replace(video, segments=(ground,)), [replace(q, evidence=()) for q in asked]


def _row(
    name: str, number: int, question: LongQuestion, video: LongVideo, split: str, minutes: float
) -> dict[str, Any]:
    """Lay out a line of questions.jsonl; `position` is the place of the only evidence, from 0 to 1."""
    spans = question.evidence
    return {
        "id": f"{name.removesuffix('.mp4')}-{number}",
        "video": name,
        "split": split,
        "kind": question.kind,
        "question": question.text,
        "answer": question.answer,
        "choices": list(question.choices),
        "evidence": [list(span) for span in spans],
        "position": sum(spans[0]) / 2 / video.seconds if len(spans) == 1 else None,
        "minutes": minutes,
        "seconds": video.seconds,
    }
