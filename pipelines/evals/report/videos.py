"""Videos of the page: which rows tell of which part of each, and where its file lies as seen from the page.

Rows are named by the places of their questions in the page, which holds all that they say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.results.schema import Row
from videollm.io import is_remote


@dataclass(frozen=True, kw_only=True)
class VideoRow:
    """A row that tells of a video, or of a part of it."""

    item: int
    """Place of its question in the page."""
    run: int
    """Place of its run."""
    row: Row
    video: str
    """Path on this machine, or URL."""


def lay_out_videos(rows: Iterable[VideoRow], folder: Path) -> list[dict[str, Any]]:
    """Lay out all videos, in the order in which rows name them first.

    Args:
        folder: where the page lies.
    Returns:
        Per video its name; `source`, an address relative to the page, or `reason`, why there is none; `seconds`, as far
        as rows tell; `tracks` of what is said of its parts; `answers`, the other rows: [run, item].
    """
    videos: dict[str, list[VideoRow]] = {}
    for each in rows:
        path = each.video if is_remote(each.video) else str(Path(each.video).absolute())
        videos.setdefault(path, []).append(each)
    return [_video(path, told, folder) for path, told in videos.items()]


def video_source(video: str, folder: Path) -> tuple[str | None, str | None]:
    """Return a video's address relative to a folder, or else why there is none."""
    if is_remote(video):
        return None, f"The video is remote ({video}); a report fetches nothing."
    if not Path(video).is_file():
        return None, f"There was no file {video} when the report was made."
    try:
        path = os.path.relpath(video, folder)
    except ValueError:  # another drive
        return Path(video).absolute().as_uri(), None
    return quote(os.fsencode(path.replace(os.sep, "/"))), None


def _video(path: str, rows: Sequence[VideoRow], folder: Path) -> dict[str, Any]:
    source, reason = video_source(path, folder)
    tracks: dict[tuple[int, str], list[VideoRow]] = {}
    others: dict[tuple[int, str | None], list[VideoRow]] = {}
    for each in rows:
        row = each.row
        if row.get("level") is not None:
            tracks.setdefault((each.run, row.get("parent") or row["id"]), []).append(each)
        elif row.get("strategy") is not None:
            others.setdefault((each.run, row["id"]), []).append(each)
        else:
            others.setdefault((each.run, row["question"]), []).append(each)
    # One question on several ranges of the video (of a manifest) is a track of segments as well.
    ranged = {key for key, told in others.items() if len({(r.row["start"], r.row["end"]) for r in told}) > 1}
    ends = [each.row["end"] for each in rows if each.row["end"] is not None]
    return {
        "name": rows[0].row["video"],
        "source": source,
        "reason": reason,
        "seconds": max(ends, default=None),
        "tracks": [_track(told) for told in (*tracks.values(), *(others[key] for key in others if key in ranged))],
        "answers": [[each.run, each.item] for key, told in others.items() if key not in ranged for each in told],
    }


def _track(rows: Sequence[VideoRow]) -> dict[str, Any]:
    """Lay out rows by their level, in order of time; those of no level are segments."""
    ordered = sorted(rows, key=lambda each: (each.row["start"] or 0.0, each.row["end"] or 0.0, each.row["id"]))

    def of(level: str) -> list[int]:
        return [each.item for each in ordered if (each.row.get("level") or "segment") == level]

    return {
        "run": rows[0].run,
        "whole": next(iter(of("video")), None),
        "chapters": of("chapter"),
        "segments": of("segment"),
        "expected": max((r.row.get("num_segments") or 0 for r in rows if r.row.get("level") == "segment"), default=0),
    }
