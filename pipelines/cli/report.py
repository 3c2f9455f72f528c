"""`videollm report`: runs as one HTML page to look at, and as tables for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from pipelines.cli.progress import progress_bar
from pipelines.cli.score import judge_bar


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Show runs of `eval`, `answer` or `caption` as one HTML page that needs no network; write tables beside it."""

    runs: Positional[tuple[Path, ...]]
    """Output folders; several are shown side by side."""
    output: Annotated[Path | None, arg(aliases=("-o",))] = None
    """Page to write, ending in .html; report.html in the first folder if not given. The tables lie beside it."""
    judge: str | None = None
    """For open-ended answers: the judge of `videollm score`, whose verdicts are then shown."""
    thumbnail_megabytes: float = 30.0
    """Most that the pictures of all frames take in the page; 0 leaves them out."""
    thumbnails_per_clip: int = 8
    """Pictures of a clip at most."""
    height: int = 120
    """Pixels of a picture."""


def main(options: ReportOptions) -> None:
    """Write the page and the tables, and say where they are."""
    from pipelines.evals.report.thumbnails import PictureSpec
    from pipelines.evals.report.write import write_report

    spec = PictureSpec(
        megabytes=options.thumbnail_megabytes, per_clip=options.thumbnails_per_clip, height=options.height
    )
    with judge_bar(options.judge) as on_judged, progress_bar(None, unit="clip", description="pictures") as on_picture:
        report = write_report(
            options.runs, options.output, judge=options.judge, pictures=spec, on_judged=on_judged, on_picture=on_picture
        )
    for path in report.files:
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    without = report.num_without_pictures
    print(f"Pictures of {report.num_clips - without:,} clips"
          f"{f'; {without:,} have none, the page says why' if without else ''}.")  # fmt: skip
