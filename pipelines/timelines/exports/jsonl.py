"""All rows in one file of JSON lines."""

from __future__ import annotations

import json
from typing import Final

from pipelines.timelines.exports.base import Export, Exported
from videollm.io import atomic_write

FILE: Final = "rows.jsonl"


class JSONLines(Export):
    """One file, `rows.jsonl`, with a line per row and all columns."""

    name = "jsonl"

    def run(self) -> Exported:
        """Write the file anew; it appears whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / FILE) as scratch, scratch.open("w", encoding="utf-8") as file:
            for row in self.rows():
                file.write(json.dumps(row) + "\n")
        self.done.num_files = 1
        return self.done
