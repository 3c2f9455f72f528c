"""Readers of files that part a video: WebVTT, and JSON chapters (version 1.2.0 of the Podcasting 2.0 namespace)."""

from __future__ import annotations

import json
import math
from pathlib import Path

from videollm.errors import UserError
from videollm.prompts.subtitles import read_cues
from videollm.types import Cue


def read_vtt(path: Path) -> tuple[Cue, ...]:
    """Read the cues of a .vtt file as they stand there, those without text too.

    Raises:
        UserError: the file is missing, or no WebVTT.
    """
    return read_cues(path)


def read_chapters(path: Path) -> tuple[Cue, ...]:
    """Read JSON chapters as they stand there.

    Returns:
        A cue per chapter, the title as its text. Without an `endTime` a chapter ends where the next one begins; the end
        of the last one is then infinite: the end of the video.
    Raises:
        UserError: the file is missing, or holds no chapters.
    """
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"))["chapters"]
        starts = [_seconds(chapter["startTime"]) for chapter in found]
        ends = [*starts[1:], math.inf][: len(starts)]
        return tuple(
            Cue(
                start=start,
                end=end if chapter.get("endTime") is None else _seconds(chapter["endTime"]),
                text=str(chapter.get("title") or ""),
            )
            for chapter, start, end in zip(found, starts, ends, strict=True)
        )
    except OSError as error:
        raise UserError(f"Chapters {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"Chapters {path} cannot be read: {type(error).__name__}: {error}. Expected UTF-8 JSON with `chapters`, a "
            "list of objects with startTime, endTime (seconds) and title."
        ) from error


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a time is {value!r}")
    return float(value)
