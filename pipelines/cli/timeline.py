"""`videollm timeline`: what a job says of its videos, as files with times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class TimelineOptions:
    """Write subtitles, chapters and timed JSON from the rows of a job, finished or running; no model is loaded."""

    output: Positional[Path]
    """Output folder of `videollm caption` or `answer`."""
    to: Path | None = None
    """Folder to write into; by default `timelines` in the output folder."""
    formats: str = "all"
    """`all`, or some of segments.vtt, chapters.vtt, srt, chapters.json, dense.json, ffmetadata, commas between."""
    chapters: Literal["chapter", "segment"] = "chapter"
    """What the files of chapters are made of: the rows of that level."""


def main(options: TimelineOptions) -> None:
    """Write the files, and print what they lack."""
    from pipelines.timelines.write import write_tracks

    formats = () if options.formats == "all" else tuple(map(str.strip, options.formats.split(",")))
    written = write_tracks(
        options.output, options.to, formats=formats, segments_are_chapters=options.chapters == "segment"
    )
    print(f"{written.num_tracks:,} videos, {written.num_cues:,} cues in {written.folder}")
    for what, number in written.lacking.items():
        print(f"{number:,} {what}: no cue.")
    if written.num_without_video:
        print(f"{written.num_without_video:,} rows name no video: no file.")
    if written.num_without_chapters:
        print(f"{written.num_without_chapters:,} videos have no rows of chapters: no file of chapters"
              " (--chapters segment makes one of every segment).")  # fmt: skip
