"""Tables to read in a terminal, paste into Markdown, or open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

NUMBER: Final = re.compile(r"[-+\u2212\u2013\u2014±<>~\d.,%/ ()\[\]]*(e[-+]?\d+)?")
"""A cell that lets its column be aligned right: numbers, an interval, a dash or nothing."""
MARKUP: Final = re.compile(r"[\\|`*~]|(?<!\w)_|_(?!\w)|(?<=\])\(")
"""What Markdown would take for something else than text."""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Rows of cells under headers; numbers are aligned right.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int]]
    """Cells as they are shown, figures already rounded."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Table {self.title!r} has {len(self.columns)} columns and a row of {len(row)} cells: {list(row)}"
                )

    def text(self) -> str:
        """Lay out for a terminal: one line per row, columns as wide as their widest cell, no control characters."""
        from rich.cells import cell_len
        from rich.console import Console
        from rich.table import Table as Grid
        from rich.text import Text

        lines = [[_one_line(str(cell)) for cell in row] for row in (self.columns, *self.rows)]
        rules = ["-" * max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        grid = Grid.grid(padding=(0, 2, 0, 0), pad_edge=False)
        for right in self._numeric():
            grid.add_column(justify="right" if right else "left", no_wrap=True)
        for line in (lines[0], rules, *lines[1:]):
            grid.add_row(*map(Text, line))
        console = Console(width=sum(map(len, rules)) + 2 * len(rules), color_system=None)
        with console.capture() as captured:
            console.print(grid)
        return "\n".join([_one_line(self.title), *(line.rstrip() for line in captured.get().splitlines())])

    def markdown(self) -> str:
        """Write GitHub-flavoured Markdown that shows the cells' text unchanged."""
        ruler = ["---:" if right else "---" for right in self._numeric()]
        lines = [[_escape(str(cell)) for cell in row] for row in (self.columns, *self.rows)]
        return "\n".join(
            [f"### {_escape(self.title)}", "", *(f"| {' | '.join(line)} |" for line in (lines[0], ruler, *lines[1:]))]
        )

    def csv(self) -> str:
        """Write header and rows (RFC 4180, lines end in a newline), without the title."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        return out.getvalue()

    def _numeric(self) -> list[bool]:
        """Tell of each column whether it holds numbers."""
        columns = [[str(row[i]) for row in self.rows] for i in range(len(self.columns))]
        return [any(cells) and all(NUMBER.fullmatch(cell) for cell in cells) for cells in columns]


def hundredths(value: float | None) -> str:
    """Write a score from 0 to 1 as papers do: 0.6134 is 61.3; None is a dash."""
    return "-" if value is None else f"{100 * value:.1f}"


def signed_hundredths(value: float) -> str:
    """Write a difference of scores: 0.0134 is +1.3."""
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def interval(low: float | None, high: float | None, form: Callable[[float], str] = hundredths) -> str:
    """Write both ends in brackets, or a dash."""
    return "-" if low is None or high is None else f"[{form(low)}, {form(high)}]"


def p_value(p: float | None) -> str:
    """Write four digits, and never 0."""
    return "-" if p is None else f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def _one_line(cell: str) -> str:
    """Put a cell on one line, with control characters made visible."""
    return "".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in cell)


def _escape(cell: str) -> str:
    """Escape Markdown and HTML; keep line breaks."""
    cell = MARKUP.sub(r"\\\g<0>", cell).replace("&", "&amp;").replace("<", "&lt;")
    return "<br>".join(_one_line(line) for line in cell.splitlines())
