"""`videollm report`: runs as one HTML page to look at, and as tables for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from tyro.conf import Positional, arg

from videollm.errors import UserError

if TYPE_CHECKING:
    from pipelines.evals.report.thumbnails import Pictures

PAGE: Final = "report.html"


@dataclass(frozen=True, kw_only=True)
class Job:
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


def main(job: Job) -> None:
    """Write the page and the tables, and say where they are."""
    _check(job)
    from pipelines.evals.report.build import write_page
    from pipelines.evals.report.runs import read_run, run_names
    from pipelines.evals.report.tables import csv, markdown
    from pipelines.evals.report.thumbnails import make_pictures
    from pipelines.evals.report.view import make_view

    page = job.output or job.runs[0] / PAGE
    runs = [read_run(folder, job.judge) for folder in job.runs]
    view = make_view(runs)
    pictures = make_pictures(
        view.strips, per_clip=job.thumbnails_per_clip, height=job.height, megabytes=job.thumbnail_megabytes
    )
    strips = [
        {"indices": s.indices, "seconds": s.seconds, **_told(p)} for s, p in zip(view.strips, pictures, strict=True)
    ]
    data = view.data | {"strips": strips}
    write_page(page, title=", ".join(run_names(runs)), data=data, pictures=(p.jpegs for p in pictures))
    tables = {".md": markdown(runs), ".csv": csv(runs)}
    for suffix, text in tables.items():
        page.with_suffix(suffix).write_text(text, encoding="utf-8", newline="\n")
    for path in (page, *map(page.with_suffix, tables)):
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    without = sum(not p.jpegs for p in pictures)
    print(
        f"Pictures of {len(pictures) - without:,} clips{f'; {without:,} have none, the page says why' * bool(without)}."
    )


def _told(pictures: Pictures) -> dict[str, Any]:
    """What the page says of a clip's pictures, which themselves stand elsewhere in it."""
    return {"places": pictures.places, "video_seconds": pictures.video_seconds, "reason": pictures.missing}


def _check(job: Job) -> None:
    if not job.runs:
        raise UserError("Got no runs, expected output folders: videollm report OUT")
    folders = [folder.resolve() for folder in job.runs]
    if twice := [str(given) for given, folder in zip(job.runs, folders, strict=True) if folders.count(folder) > 1]:
        raise UserError(f"A run is given twice: {', '.join(twice)}. Give each once.")
    if job.output is not None and job.output.suffix.lower() not in (".html", ".htm"):
        raise UserError(
            f"-o is {job.output}, expected a name that ends in .html; the tables lie beside it as .md and .csv."
        )
    if job.thumbnail_megabytes < 0 or job.thumbnails_per_clip < 1 or job.height < 16:
        raise UserError(
            f"Got --thumbnail-megabytes {job.thumbnail_megabytes:g}, --thumbnails-per-clip {job.thumbnails_per_clip}, "
            f"--height {job.height}; expected at least 0, 1 and 16 (0 megabytes leave pictures out)."
        )
