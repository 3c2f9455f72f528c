"""`videollm export`: the rows of a job in forms that other tools read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class ExportCommandOptions:
    """Write the rows of a job, finished or running, in forms that other tools read."""

    output: Positional[Path]
    """Output folder of `videollm caption` or `answer`."""
    to: str
    """Some of jsonl, sidecar, webdataset and hf-dataset, or `pkg.mod:Class`, commas between."""
    folder: Annotated[Path | None, arg(aliases=("-o",))] = None
    """Folder in which each gets a folder of its name; by default `exports` in the output folder, and sidecars beside
    the videos."""
    with_errors: bool = False
    """Export rows without an answer too."""
    overwrite: bool = False
    """Replace files that are not of this export, and begin anew where it had begun."""
    copy: bool = False
    """Copy videos where links would do (hf-dataset)."""
    tar_megabytes: float = 1000.0
    """Size from which on a tar is full (webdataset); a larger video has one of its own."""


def main(options: ExportCommandOptions) -> None:
    """Export, and print what was left out."""
    from pipelines.timelines.exports.base import EXPORTS, ExportOptions

    chosen = {name: value for name, value in vars(options).items() if name != "to"}
    classes = [EXPORTS.load(name.strip()) for name in options.to.split(",")]
    for export in [cls(ExportOptions(**chosen)) for cls in classes]:
        done = export.run()
        print(f"{export.name}: {done.num_rows:,} rows, {done.num_files:,} files in {done.place}")
        for what, number in done.left_out.items():
            print(f"  left out: {number:,} {what}")
