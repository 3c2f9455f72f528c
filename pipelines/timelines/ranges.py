"""Ranges of videos that a user gives: rows of a manifest, WebVTT cues, or chapters as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pipelines.requests.discover import MANIFESTS
from pipelines.requests.readers import read_rows
from pipelines.timelines.splitters.base import Range
from pipelines.timelines.splitters.given import check_ranges
from videollm.errors import UserError
from videollm.io import is_remote, local_name

CHAPTERS_VERSION: Final = "1.2.0"
"""Of the JSON that podcasts and players know (https://github.com/Podcastindex-org/podcast-namespace)."""
ENDINGS: Final = (".chapters.json", ".json", ".chapters.vtt", ".segments.vtt", ".vtt")
"""Of files in a folder that begin with the name of a video."""
_ARROW: Final = "-->"
_TIME: Final = r"(?:(\d{2,}):)?([0-5]\d):([0-5]\d\.\d{3})"
_TIMES: Final = re.compile(rf"\s*{_TIME}\s+-->\s+{_TIME}(\s.*)?")


def given_ranges(source: str, video: str) -> tuple[Range, ...]:
    """Read the ranges that are given of one video.

    Args:
        source: a manifest (rows of several videos, with columns video, start and end), a .vtt or chapters .json file,
            or a folder in which such files are named after the videos (clip.mp4: clip.vtt, clip.chapters.json, ...).
        video: path or URL, relative ones as seen from here.
    Returns:
        Ranges, ascending.
    Raises:
        UserError: the source cannot be read, or gives no ranges of this video, or ones that overlap.
    """
    path = Path(local_name(source))
    if not is_remote(source) and path.is_dir():
        stem = local_name(video).rstrip("/").rpartition("/")[2].rpartition(".")[0]
        found = [file for ending in ENDINGS if (file := path / f"{stem}{ending}").is_file()]
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "no file"
            expected = ", ".join(f"{stem}{ending}" for ending in ENDINGS)
            raise UserError(f"{path} holds {names} with the segments of {video}; expected one of {expected}.")
        path = found[0]
        source = str(path)
    if source.lower().endswith(MANIFESTS):
        ranges = list(_rows(source, video))
    elif source.lower().endswith((".vtt", ".json")):
        ranges = list((_cues if source.lower().endswith(".vtt") else _chapters)(_text(path), source))
    else:
        raise UserError(f"Segments are given by {source}; expected {', '.join(MANIFESTS)}, .vtt, .json or a folder.")
    ordered = tuple(sorted(ranges))
    check_ranges(ordered, video)
    return ordered


def _rows(source: str, video: str) -> Iterator[Range]:
    """Yield the ranges of a manifest's rows of one video."""
    wanted, folder = _absolute(video), source.rpartition("/")[0]
    for number, row in read_rows(source):
        if isinstance(row, UserError):
            raise UserError(f"{source}, line {number}: {row}") from row
        name = row.get("video")
        if not isinstance(name, str):
            raise UserError(f"{source}, line {number}: video is {name!r}, expected a path or URL.")
        here = local_name(name)
        if _absolute(here if is_remote(here) or here.startswith("/") or not folder else f"{folder}/{here}") == wanted:
            yield _range(row.get("start"), row.get("end"), f"{source}, line {number}")


def _cues(text: str, source: str) -> Iterator[Range]:
    """Yield the ranges of WebVTT cues."""
    if not text.startswith("WEBVTT"):
        raise UserError(f"{source} begins with {text[:20]!r}, expected WEBVTT.")
    for number, line in enumerate(text.splitlines(), 1):
        if _ARROW in line:
            times = _TIMES.fullmatch(line)
            if times is None:
                raise UserError(f"{source}, line {number}: got {line!r}, expected 00:00:00.000 --> 00:00:00.000.")
            hours, minutes, seconds, *end = times.groups()[:6]
            yield _seconds(hours, minutes, seconds), _seconds(*end)


def _chapters(text: str, source: str) -> Iterator[Range]:
    """Yield the ranges of chapters; one without an end lasts until the next."""
    try:
        found = json.loads(text)
        version, rows = found["version"], found["chapters"]
        starts = [row["startTime"] for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{source} cannot be read ({type(error).__name__}: {error}); expected {{"version": "{CHAPTERS_VERSION}", '
            '"chapters": [{"startTime": 0, "endTime": 60, "title": "..."}, ...]}.'
        ) from error
    if str(version).partition(".")[0] != CHAPTERS_VERSION.partition(".")[0]:
        raise UserError(f"{source} is of version {version}; expected {CHAPTERS_VERSION}.")
    for i, row in enumerate(rows):
        following = starts[i + 1] if i + 1 < len(starts) else None
        yield _range(row["startTime"], row.get("endTime", following), f"{source}, chapter {i + 1}")


def _range(start: Any, end: Any, where: str) -> Range:
    """Read two numbers of seconds."""
    try:
        if isinstance(start, bool) or isinstance(end, bool):
            raise ValueError
        made = float(start), float(end)
        if not all(map(math.isfinite, made)):
            raise ValueError
    except (TypeError, ValueError):
        raise UserError(f"{where}: start is {start!r} and end {end!r}; expected seconds, both of them.") from None
    return made


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    # Milliseconds are whole numbers: their sum has no errors of addition.
    return ((int(hours or 0) * 60 + int(minutes)) * 60_000 + int(seconds.replace(".", ""))) / 1000


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error.reason} at byte {error.start}.") from error


def _absolute(video: str) -> str:
    return video if is_remote(video) else str(Path(local_name(video)).absolute())
