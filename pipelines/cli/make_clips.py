"""`videollm make-clips`: clips of moving shapes with their questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from videollm.shapes.clips import ClipsConfig, write_clips


@dataclass(frozen=True, kw_only=True)
class MakeClipsOptions(ClipsConfig):
    """Write clips of moving shapes (mp4), questions.jsonl to answer, and lessons.jsonl to train on."""

    output: Annotated[str, arg(aliases=["-o"])]
    """Folder to write into."""


def main(options: MakeClipsOptions) -> None:
    """Write the clips; keep those that exist."""
    from pipelines.cli.progress import progress_bar

    with progress_bar(options.num_clips, unit="clip", description="clips") as show:
        num_questions = write_clips(Path(options.output), options, on_clip=show)
    print(f"{options.num_clips} clips and {num_questions} questions in {options.output}")
