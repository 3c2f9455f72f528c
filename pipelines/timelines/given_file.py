"""Segments that a user gives: a manifest, subtitles or chapters of one video, or a folder of such files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from pipelines.requests.discover import MANIFESTS
from pipelines.requests.manifest import read
from pipelines.requests.types import BadRequest
from pipelines.timelines.cues import read_chapters, read_vtt
from pipelines.timelines.splitters.base import Range
from pipelines.timelines.splitters.given import check_ranges
from videollm.errors import Status, UserError, VideoError
from videollm.types import Clip

ENDINGS: Final = (".chapters.json", ".json", ".chapters.vtt", ".segments.vtt", ".vtt")
"""Of files in a folder that begin with the name of a video."""


@dataclass(frozen=True, kw_only=True)
class GivenSegments:
    """Ranges of videos, ascending; an infinite end is that of the video."""

    source: Path
    by_video: Mapping[str, Sequence[Range]] = field(default_factory=dict)
    """Of a manifest, by path."""
    of_any: Sequence[Range] = ()
    """Of a file that is about one video and does not name it."""

    def check(self, videos: Sequence[str]) -> None:
        """Check that segments are given of some videos.

        Raises:
            UserError: of one there are none, or a file about one video is given for several.
        """
        distinct = list(dict.fromkeys(videos))
        if self.of_any and len(distinct) > 1:
            raise UserError(
                f"{self.source} is about one video, and there are {len(distinct):,}. Give a manifest with a row "
                "(video, start, end) for each segment, or a folder of files that are named like the videos."
            )
        for video in distinct:
            self.of(video, math.inf)

    def of_clip(self, clip: Clip, duration: float) -> list[Range]:
        """Return the ranges of a clip that is `duration` seconds long, in seconds from its start.

        Raises:
            UserError: of its video there are none.
            VideoError: `bad_range`: none lies in the clip.
        """
        start = clip.start or 0.0
        found = [(a - start, b - start) for a, b in self.of(clip.video, start + duration)]
        if clip.start is None and clip.end is None:
            return found
        inside = [(max(0.0, a), min(b, duration)) for a, b in found if a < duration and b > 0]
        if not inside:
            asked = f"{clip.video} from {start:g} s to {start + duration:g} s"
            raise VideoError(Status.BAD_RANGE, f"{self.source} gives no segment of {asked}; give one there.")
        return inside

    def of(self, video: str, duration: float) -> list[Range]:
        """Return the ranges of a video that ends at `duration` seconds.

        Raises:
            UserError: there are none.
        """
        found = self.of_any or self.by_video.get(video, ())
        if not found and self.source.is_dir():
            found = _read_file(self._file_of(video))
        if not found:
            raise UserError(f"{self.source} gives no segments of {video}. Add them, or leave the video out.")
        return [(start, duration if math.isinf(end) else end) for start, end in found]

    def _file_of(self, video: str) -> Path:
        stem = PurePosixPath(video.rstrip("/")).stem
        found = [file for ending in ENDINGS if (file := self.source / f"{stem}{ending}").is_file()]
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "no file"
            expected = ", ".join(f"{stem}{ending}" for ending in ENDINGS)
            raise UserError(f"{self.source} holds {names} with the segments of {video}; expected one of {expected}.")
        return found[0]


def read_given(source: Path) -> GivenSegments:
    """Read the segments that are given of videos.

    Args:
        source: a manifest (video, start, end), a .vtt or chapters .json of one video, or a folder of those, named after
            the videos (clip.mp4: clip.vtt, clip.chapters.json, ...).
    Raises:
        UserError: the source cannot be read, has another ending, or a video's ranges overlap.
    """
    if source.is_dir():
        return GivenSegments(source=source)
    if source.suffix.lower() not in MANIFESTS:
        return GivenSegments(source=source, of_any=_read_file(source))
    ranges: dict[str, list[Range]] = {}
    for request in read([str(source)], default_question="-"):
        if isinstance(request, BadRequest):
            raise UserError(f"{request.error}. Mend the row, or take it out.")
        clip = request.clip
        ranges.setdefault(clip.video, []).append((clip.start or 0.0, math.inf if clip.end is None else clip.end))
    for video, of_video in ranges.items():
        of_video.sort()
        check_ranges(of_video, video)
    return GivenSegments(source=source, by_video=ranges)


def _read_file(path: Path) -> list[Range]:
    """Read a file that is about one video."""
    if path.suffix.lower() not in (".vtt", ".json"):
        raise UserError(
            f"--segments is {path}; expected a manifest ({', '.join(MANIFESTS)}), .vtt, chapters (.json), or a folder."
        )
    cues = read_vtt(path) if path.suffix.lower() == ".vtt" else read_chapters(path)
    ranges = sorted((cue.start, cue.end) for cue in cues)
    check_ranges(ranges, str(path))
    return ranges
