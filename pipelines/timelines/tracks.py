"""Tracks of a video: what is said of its segments and chapters, and when; pure, from the rows of one video.

UNITS  seconds count from the first displayed frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from pipelines.results.schema import OK, Row
from pipelines.timelines.names import file_stem
from pipelines.timelines.text import one_line
from videollm.errors import Status
from videollm.types import Cue

COLUMNS: Final = (
    *("id", "video", "start", "end", "question", "answer", "status"),
    *("parent", "level", "segment", "num_segments"),
)
"""Columns of rows that tracks are made from."""
ANSWERED: Final = (OK, Status.PARTIAL.value)
"""Statuses of rows that hold an answer."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """What the rows of one video say, and when."""

    name: str
    """Of its files."""
    id: str
    """Of the row of the whole video; without one, of the first row."""
    video: str
    """The video as the user names it."""
    question: str | None
    duration: float
    """Seconds of the video; while its rows are not complete, the end of the last one."""
    summary: str | None
    """What is said of the whole video."""
    segments: tuple[Cue, ...]
    """In order of their start."""
    chapters: tuple[Cue, ...]
    """In order; they do not overlap."""
    num_failed: int
    """Segments and chapters without an answer: they have no cue. Below likewise."""
    num_empty: int
    """Those whose answer holds no words."""
    num_untimed: int
    """Those whose end is not known."""
    num_to_come: int
    """Segments that have no row yet."""


def track_key(row: Row) -> str:
    """Name what a row belongs to: a video that was split, or else (a manifest's ranges) a question on a video."""
    if (parent := row.get("parent")) is not None:
        return str(parent)
    if row.get("level") is not None:
        return str(row["id"])
    return f"{row['video']}\0{row.get('question')}"


def lacks_duration(rows: Sequence[Row]) -> bool:
    """Tell whether the end of a row is that of the video, and no row says when that is."""
    return any(row.get("end") is None for row in _pieces(rows, "segment") if row["status"] in ANSWERED)


def make_track(rows: Sequence[Row], *, duration: float | None = None, segments_are_chapters: bool = False) -> Track:
    """Make the track of the rows of one `track_key`, which all have a video.

    Args:
        duration: seconds of the video, for rows without an end.
        segments_are_chapters: take every segment as a chapter.
    """
    whole = next((row for row in rows if row.get("level") == "video"), None)
    first = rows[0] if whole is None else whole
    pieces, chapters = _pieces(rows, "segment"), _pieces(rows, "chapter")
    if whole is not None and whole.get("end") is not None:
        duration = whole["end"]
    timed = [(row, cue) for row in pieces if (cue := _cue(row, duration)) is not None]
    timed.sort(key=lambda pair: (pair[1].start, pair[1].end))
    # Failed segments count here too: their neighbours end where they would without the failure.
    met = list(zip((row for row, _ in timed), meet([cue for _, cue in timed]), strict=True))
    cues = tuple(cue for row, cue in met if row["status"] in ANSWERED and one_line(cue.text))
    named = [cue for row in chapters if row["status"] in ANSWERED and (cue := _cue(row, duration)) is not None]
    told = [row for row in (*pieces, *chapters) if row["status"] in ANSWERED]
    ends = [row["end"] for row in rows if row.get("end") is not None]
    expected = max((row.get("num_segments") or 0 for row in pieces), default=0)
    return Track(
        name=file_stem(first["video"], track_key(first)),
        id=first["parent"] if whole is None and first.get("parent") is not None else first["id"],
        video=first["video"],
        question=first.get("question"),
        duration=max(ends, default=0.0) if duration is None else duration,
        summary=whole["answer"] if whole is not None and whole["status"] in ANSWERED else None,
        segments=cues,
        chapters=cues if segments_are_chapters else tuple(c for c in _apart(named) if one_line(c.text)),
        num_failed=sum(row["status"] not in ANSWERED for row in (*pieces, *chapters)),
        num_empty=sum(not one_line(row["answer"] or "") for row in told),
        num_untimed=sum(_cue(row, duration) is None for row in told),
        num_to_come=max(0, expected - len(pieces)) if whole is None else 0,
    )


def meet(cues: Sequence[Cue]) -> list[Cue]:
    """Let windows that overlap, in order of their start, meet in the middle of the overlap.

    A window that lies within another one is no neighbour of it: both stay as they are.
    """
    starts, ends = [cue.start for cue in cues], [cue.end for cue in cues]
    for i, (a, b) in enumerate(pairwise(cues)):
        if a.start < b.start < a.end < b.end:
            ends[i] = starts[i + 1] = (a.end + b.start) / 2
    return [replace(cue, start=start, end=end) for cue, start, end in zip(cues, starts, ends, strict=True)]


def milliseconds(cues: Sequence[Cue], *, apart: bool = False) -> list[tuple[int, int, Cue]]:
    """Round the times of cues in order of their start; each is at least 1 ms long.

    Args:
        apart: let none begin before the one before it ends.
    Returns:
        Start, end and cue.
    """
    made: list[tuple[int, int, Cue]] = []
    for cue in cues:
        start, end = max(0, round(cue.start * 1000)), round(cue.end * 1000)
        if apart and made:
            start = max(start, made[-1][0] + 1)
            made[-1] = (made[-1][0], min(made[-1][1], start), made[-1][2])
        made.append((start, max(end, start + 1), cue))
    return made


def _pieces(rows: Sequence[Row], level: str) -> list[Row]:
    """Return rows of a level; those of no level are segments."""
    return [row for row in rows if (row.get("level") or "segment") == level]


def _cue(row: Row, duration: float | None) -> Cue | None:
    end = duration if row.get("end") is None else row["end"]
    return None if end is None else Cue(start=row.get("start") or 0.0, end=end, text=row["answer"] or "")


def _apart(cues: Sequence[Cue]) -> list[Cue]:
    """Put chapters in order, and end each where the next one begins at the latest."""
    ordered = meet(sorted(cues, key=lambda cue: (cue.start, cue.end)))
    ends = [*(min(a.end, b.start) for a, b in pairwise(ordered)), *(cue.end for cue in ordered[-1:])]
    return [replace(cue, end=end) for cue, end in zip(ordered, ends, strict=True)]
