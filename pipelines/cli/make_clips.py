"""`videollm make-clips`: clips of moving shapes, or long videos of them, with their questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from videollm.errors import UserError
from videollm.shapes.clips import ClipsConfig, write_clips
from videollm.shapes.long import LongConfig, num_files, write_long


@dataclass(frozen=True, kw_only=True)
class MakeClipsOptions:
    """Write clips of moving shapes (mp4), questions.jsonl to answer, and lessons.jsonl to train on; with --minutes long
    videos, their timeline.json, questions with the seconds that answer them, and controls."""

    output: Annotated[str, arg(aliases=["-o"])]
    """Folder to write into."""
    minutes: tuple[float, ...] = ()
    """Long videos of this length, or of each of these lengths, in the place of clips."""
    num_clips: int | None = None
    """Number of clips, by default 100; of long videos of each length, by default 4."""
    seed: int = 0
    """Another seed tells other stories."""
    seconds: float = 4.0
    """Length of a clip; of a long video, the time for which every event is seen."""
    fps: int | None = None
    """Frames per second; by default 16, of long videos 8."""
    size: int | None = None
    """Pixels per side, even; by default 192, of long videos 96."""
    story: str | None = None
    """One kind of story: alone, still, parade, motion, change, come_and_go, pan, cut or grow; by default all."""
    controls: tuple[str, ...] | None = None
    """With --minutes, the other videos written of each: removed (no needle), shuffled (other order), blank; by default
    all."""

    def given(self) -> Mapping[str, Any]:
        """Return the settings that replace defaults."""
        return {
            name: value for name, value in vars(self).items() if name not in ("output", "minutes") and value is not None
        }


def main(options: MakeClipsOptions) -> None:
    """Write the clips; keep those that exist.

    Raises:
        UserError: an option does not suit.
    """
    from pipelines.cli.progress import progress_bar

    folder = Path(options.output)
    if options.minutes:
        if options.story is not None:
            raise UserError(f"--story is {options.story}, but long videos (--minutes) tell no story. Leave it out.")
        long = LongConfig(minutes=options.minutes, **options.given())
        with progress_bar(num_files(long), unit="video", description="videos") as show:
            num_questions = write_long(folder, long, on_video=show)
        print(f"{num_files(long)} videos, controls included, and {num_questions} questions in {options.output}")
        return
    if options.controls is not None:
        raise UserError("--controls are other versions of long videos; name their length with --minutes.")
    config = ClipsConfig(**options.given())
    with progress_bar(config.num_clips, unit="clip", description="clips") as show:
        num_questions = write_clips(folder, config, on_clip=show)
    print(f"{config.num_clips} clips and {num_questions} questions in {options.output}")
