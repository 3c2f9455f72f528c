"""Files that a track is written as, by name."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import ClassVar, Final

from connectors.registry import Table
from pipelines.timelines.text import metadata_text, one_line, srt_text, vtt_text
from pipelines.timelines.tracks import Track, milliseconds
from videollm.errors import UserError
from videollm.types import Cue


class TrackFormat(ABC):
    """A form of track; a subclass needs no more than `text`. Its name is the end of the names of its files."""

    of_chapters: ClassVar[bool] = False
    """Whether there is no file where there are no chapters."""

    @abstractmethod
    def text(self, track: Track) -> str:
        """Write a track."""


class SegmentsVTT(TrackFormat):
    """WebVTT with a cue per segment."""

    def text(self, track: Track) -> str:
        """Write the segments."""
        return _vtt(milliseconds(track.segments))


class ChaptersVTT(TrackFormat):
    """WebVTT with a cue per chapter, for `<track kind="chapters">`."""

    of_chapters = True

    def text(self, track: Track) -> str:
        """Write the chapters."""
        return _vtt(milliseconds(track.chapters, apart=True))


class SRT(TrackFormat):
    """SubRip with a cue per segment."""

    def text(self, track: Track) -> str:
        """Write the segments."""
        numbered = enumerate(milliseconds(track.segments), 1)
        return "".join(
            f"{i}\n{clock(start, ',')} --> {clock(end, ',')}\n{srt_text(cue.text)}\n\n"
            for i, (start, end, cue) in numbered
        )


class ChaptersJSON(TrackFormat):
    """JSON chapters 1.2.0 of the Podcasting 2.0 namespace: `startTime`, `endTime`, `title`."""

    of_chapters = True

    def text(self, track: Track) -> str:
        """Write the chapters."""
        chapters = [
            {"startTime": start / 1000, "endTime": end / 1000, "title": one_line(cue.text)}
            for start, end, cue in milliseconds(track.chapters, apart=True)
        ]
        return _json({"version": "1.2.0", "chapters": chapters})


class DenseJSON(TrackFormat):
    """Dense captions as ActivityNet Captions has them for a video: `duration`, `timestamps`, `sentences`."""

    def text(self, track: Track) -> str:
        """Write the segments."""
        rounded = milliseconds(track.segments)
        return _json(
            {
                "duration": round(track.duration, 3),
                "timestamps": [[start / 1000, end / 1000] for start, end, _ in rounded],
                "sentences": [cue.text.strip() for _, _, cue in rounded],
            }
        )


class FFMetadata(TrackFormat):
    """Chapters for FFmpeg: `ffmpeg -i VIDEO -i FILE -map_chapters 1 -codec copy OUT.mkv`."""

    of_chapters = True

    def text(self, track: Track) -> str:
        """Write the chapters."""
        parts = [
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={metadata_text(one_line(cue.text))}\n"
            for start, end, cue in milliseconds(track.chapters, apart=True)
        ]
        return "\n".join([";FFMETADATA1\n", *parts])


TRACK_FORMATS: Final[Table[TrackFormat]] = Table(
    noun="track format",
    group="videollm.track_formats",
    base="pipelines.timelines.track_formats:TrackFormat",
    error=UserError,
    builtin={
        "segments.vtt": SegmentsVTT,
        "chapters.vtt": ChaptersVTT,
        "srt": SRT,
        "chapters.json": ChaptersJSON,
        "dense.json": DenseJSON,
        "ffmetadata": FFMetadata,
    },
)
"""End of a file's name -> what writes it."""


def clock(milliseconds: int, point: str = ".") -> str:
    """Format a time as HH:MM:SS.mmm; hours may pass 99."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def _vtt(rounded: list[tuple[int, int, Cue]]) -> str:
    cues = (f"\n{clock(start)} --> {clock(end)}\n{vtt_text(cue.text)}\n" for start, end, cue in rounded)
    return "".join(["WEBVTT\n", *cues])


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
