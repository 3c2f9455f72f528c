"""Tracks of all videos of a job, as files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipelines.results.journal import read_rows
from pipelines.results.run_record import find_video, read_record
from pipelines.results.schema import Row
from pipelines.stages.decoding.client import Decoder, Failure
from pipelines.timelines.grouping import group_rows
from pipelines.timelines.track_formats import TRACK_FORMATS, TrackFormat
from pipelines.timelines.tracks import COLUMNS, Track, lacks_duration, make_track, track_key
from videollm.io import atomic_write, is_remote

FOLDER: Final = "timelines"
"""In the output of a job."""
INDEX: Final = "timelines.jsonl"
"""File that says which files are of which video."""
PROBE_SECONDS: Final = 60.0
COUNTED: Final = {
    "num_failed": "segments or chapters failed",
    "num_empty": "answers hold no words",
    "num_untimed": "rows have no end, and the video cannot be asked for its length",
    "num_to_come": "segments have no row yet",
}
"""Field of a track -> what it counts, all of which leaves no cue."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """Files that were written, and what they lack."""

    folder: Path
    num_tracks: int
    num_cues: int
    lacking: Mapping[str, int]
    """What there are no cues for -> how many."""
    num_without_chapters: int
    """Tracks that have no files of chapters."""
    num_without_video: int
    """Rows that name no video."""


@dataclass(kw_only=True)
class _Counts:
    of_tracks: Counter[str] = field(default_factory=Counter)
    num_tracks: int = 0
    num_cues: int = 0
    num_without_chapters: int = 0
    num_without_video: int = 0

    def add(self, track: Track) -> None:
        """Count a track."""
        self.num_tracks += 1
        self.num_cues += len(track.segments)
        self.num_without_chapters += not track.chapters
        self.of_tracks.update({what: getattr(track, name) for name, what in COUNTED.items()})


def write_tracks(
    output: Path, folder: Path | None = None, *, formats: Sequence[str] = (), segments_are_chapters: bool = False
) -> Written:
    """Write tracks from the rows of a job, which may be running; files that would not change are left alone.

    Args:
        output: of the job.
        folder: to write into, made if missing; by default one in the output.
        formats: names in TRACK_FORMATS; by default all.
        segments_are_chapters: take every segment as a chapter.
    Raises:
        UserError: there is no such format, or the output is none of a job.
    """
    writers = {name: TRACK_FORMATS.load(name)() for name in formats or TRACK_FORMATS}
    record = read_record(output)
    folder = output / FOLDER if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    counts = _Counts()
    with (
        closing(Decoder(timeout_seconds=PROBE_SECONDS)) as decoder,
        atomic_write(folder / INDEX) as scratch,
        scratch.open("w", encoding="utf-8") as index,
    ):
        for _, rows in group_rows(_with_video(read_rows(output, COLUMNS), counts), track_key, folder):
            duration = _probe(decoder, record, rows[0]["video"]) if lacks_duration(rows) else None
            track = make_track(rows, duration=duration, segments_are_chapters=segments_are_chapters)
            counts.add(track)
            index.write(json.dumps(_entry(track, _write(track, writers, folder))) + "\n")
    return Written(
        folder=folder,
        num_tracks=counts.num_tracks,
        num_cues=counts.num_cues,
        lacking={what: number for what, number in counts.of_tracks.items() if number},
        num_without_chapters=counts.num_without_chapters if any(w.of_chapters for w in writers.values()) else 0,
        num_without_video=counts.num_without_video,
    )


def _with_video(rows: Iterator[Row], counts: _Counts) -> Iterator[Row]:
    for row in rows:
        if row["video"] is None:
            counts.num_without_video += 1
        else:
            yield row


def _probe(decoder: Decoder, record: Mapping[str, Any], video: str) -> float | None:
    """Return the length of a local video in seconds; None where it cannot be read (a remote one is not fetched)."""
    path = find_video(record, video)
    found = None if is_remote(path) else decoder.probe(path)
    return None if found is None or isinstance(found, Failure) else float(found["duration_seconds"])


def _write(track: Track, writers: Mapping[str, TrackFormat], folder: Path) -> list[str]:
    """Write the files of a track, and return their names."""
    names = []
    for name, writer in writers.items():
        if writer.of_chapters and not track.chapters:
            continue
        path, data = folder / f"{track.name}.{name}", writer.text(track).encode("utf-8")
        if not path.exists() or path.read_bytes() != data:
            with atomic_write(path) as scratch:
                scratch.write_bytes(data)
        names.append(path.name)
    return names


def _entry(track: Track, files: Sequence[str]) -> dict[str, Any]:
    return {
        "id": track.id,
        "video": track.video,
        "question": track.question,
        "duration": track.duration,
        "summary": track.summary,
        "num_segments": len(track.segments),
        "num_chapters": len(track.chapters),
        **{name: getattr(track, name) for name in COUNTED},
        "files": list(files),
    }
