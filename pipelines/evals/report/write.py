"""The report of runs: one HTML page, and tables beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.evals.report.page import write_page
from pipelines.evals.report.runs import read_run, run_names
from pipelines.evals.report.tables import csv, markdown
from pipelines.evals.report.thumbnails import Pictures, PictureSpec, make_pictures
from pipelines.evals.report.view import make_view
from pipelines.evals.scores import Progress
from videollm.errors import UserError

PAGE: Final = "report.html"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Files and counts of a written report."""

    files: tuple[Path, ...]
    """The page, then the tables."""
    num_clips: int
    num_without_pictures: int


def write_report(
    folders: Sequence[Path],
    page: Path | None = None,
    *,
    judge: str | None = None,
    pictures: PictureSpec | None = None,
    on_judged: Progress | None = None,
    on_picture: Progress | None = None,
) -> Report:
    """Write runs side by side as one HTML page that needs no network, with scores as .md and .csv beside the page.

    Args:
        folders: outputs of `eval`, `answer` or `caption`.
        page: path that ends in .html; None: report.html in the first folder.
        judge: see `score_run`.
        on_judged: see `score_run`.
        on_picture: called after every clip whose pictures are made.
    Raises:
        UserError: no folder, one that is given twice or holds no rows, another ending of the page, or a file that
            cannot be written.
    """
    _check(folders, page)
    page = page or folders[0] / PAGE
    runs = [read_run(folder, judge, on_judged) for folder in folders]
    view = make_view(runs, page.parent)
    made = make_pictures(view.strips, pictures or PictureSpec(), on_picture)
    strips = [
        {"indices": strip.indices, "seconds": strip.seconds, **_facts(found)}
        for strip, found in zip(view.strips, made, strict=True)
    ]
    title = ", ".join(run_names(runs))
    tables = {page.with_suffix(".md"): markdown(runs), page.with_suffix(".csv"): csv(runs)}
    try:
        write_page(page, title=title, data=view.data | {"strips": strips}, pictures=(found.jpegs for found in made))
        for path, text in tables.items():
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {page}: {error.strerror}. Name another file by -o."
        ) from error
    without = sum(not found.jpegs for found in made)
    return Report(files=(page, *tables), num_clips=len(made), num_without_pictures=without)


def _facts(pictures: Pictures) -> dict[str, Any]:
    """Return the page's facts on a clip's pictures; the pictures themselves are stored elsewhere in the page."""
    return {"places": pictures.places, "video_seconds": pictures.video_seconds, "reason": pictures.missing}


def _check(folders: Sequence[Path], page: Path | None) -> None:
    if not folders:
        raise UserError("Got no runs, expected output folders: videollm report OUT")
    whole = [folder.resolve() for folder in folders]
    if twice := [str(given) for given, folder in zip(folders, whole, strict=True) if whole.count(folder) > 1]:
        raise UserError(f"A run is given twice: {', '.join(twice)}. Give each once.")
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"-o is {page}, expected a name that ends in .html; the tables lie beside it as .md and .csv.")
