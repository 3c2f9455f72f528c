"""Plans of videos: how each was split, written down before the first row of a part.

A job that goes on reads them and never splits again: other software could cut elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.timelines.segments import Segment, Segments

NAME: Final = "_plans.jsonl"


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """The parts of a video, and what is summed up together."""

    parent: str
    """Id of the request for the whole video."""
    fingerprint: str
    """Of that request."""
    video_hash: str | None
    """Of the video that was split; None for a folder of images."""
    splitter: str
    seconds: float
    """End of the last frame."""
    segments: Segments
    branch: int
    """Parts that are summed up together, at most."""
    chapters: tuple[tuple[int, int], ...]
    """Numbers of the first and of the last segment of each; () where there are none."""

    def to_line(self) -> bytes:
        """Write as a line of JSON."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> VideoPlan:
        """Read what `to_line` wrote."""
        value: dict[str, Any] = json.loads(line)
        segments = tuple(Segment(**segment) for segment in value.pop("segments"))
        chapters = tuple((first, last) for first, last in value.pop("chapters"))
        return cls(**value, segments=segments, chapters=chapters)


class Plans:
    """The file of plans in a job's output, of which the job holds the lock."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self) -> Iterator[VideoPlan]:
        """Read the plans; a line that was cut off while written is no plan, and is taken away."""
        if not self._path.exists():
            return
        whole = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                yield VideoPlan.from_line(line)
        if whole < self._path.stat().st_size:
            os.truncate(self._path, whole)

    def add(self, plan: VideoPlan) -> None:
        """Write a plan; it is on the disk when this returns."""
        with self._path.open("ab") as file:
            file.write(plan.to_line())
            file.flush()
            os.fsync(file.fileno())
