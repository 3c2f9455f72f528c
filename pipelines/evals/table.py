"""Tables to read in a terminal, to paste into Markdown, to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

NUMBER: Final = re.compile(r"[-+\u2212\u2013\u2014±<>~\d.,%/ ()\[\]]*(e[-+]?\d+)?")
"""A cell that lets its column be aligned right: numbers, an interval, a dash or nothing."""
MARKUP: Final = re.compile(r"[\\|`*~]|(?<!\w)_|_(?!\w)|(?<=\])\(")
"""What Markdown would take for something else than text."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under headers; numbers are aligned right.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int]]
    """Text as it is to be read: who makes the table rounds its figures."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Table {self.title!r} has {len(self.columns)} columns and a row of {len(row)} cells: {list(row)}"
                )

    def text(self) -> str:
        """For a terminal: columns of one width, on one line a row, without control characters."""
        lines = [[_plain(str(cell)) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]
        aligned = [
            "  ".join(
                " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
                for cell, width, right in zip(line, widths, self._right(), strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([_plain(self.title), aligned[0], "  ".join("-" * width for width in widths), *aligned[1:]])

    def markdown(self) -> str:
        """GitHub-flavoured Markdown that shows the cells' text as it is."""
        ruler = ["---:" if right else "---" for right in self._right()]
        lines = [[_escape(str(cell)) for cell in row] for row in (self.columns, *self.rows)]
        return "\n".join(
            [f"### {_escape(self.title)}", "", *(f"| {' | '.join(line)} |" for line in (lines[0], ruler, *lines[1:]))]
        )

    def csv(self) -> str:
        """Header and rows (RFC 4180, lines end in a newline); the title has no place in it."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        return out.getvalue()

    def _right(self) -> list[bool]:
        """Of each column: is it one of numbers?"""
        columns = [[str(row[i]) for row in self.rows] for i in range(len(self.columns))]
        return [any(cells) and all(NUMBER.fullmatch(cell) for cell in cells) for cells in columns]


def hundredths(value: float | None) -> str:
    """A score from 0 to 1 as it is written in papers: 0.6134 is 61.3; None is a dash."""
    return "-" if value is None else f"{100 * value:.1f}"


def signed_hundredths(value: float) -> str:
    """A difference of scores: 0.0134 is +1.3."""
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def interval(low: float | None, high: float | None, form: Callable[[float], str] = hundredths) -> str:
    """Both ends in brackets, or a dash."""
    return "-" if low is None or high is None else f"[{form(low)}, {form(high)}]"


def p_value(p: float | None) -> str:
    """Four digits, and never 0."""
    return "-" if p is None else f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def _plain(cell: str) -> str:
    """On one line, and nothing in it that moves a terminal's cursor."""
    return "".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in cell)


def _width(cell: str) -> int:
    """Columns of a terminal."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1
        for c in cell
    )


def _escape(cell: str) -> str:
    """Show what would be Markdown or HTML as text; line breaks stay."""
    cell = MARKUP.sub(r"\\\g<0>", cell).replace("&", "&amp;").replace("<", "&lt;")
    return "<br>".join(_plain(line) for line in cell.splitlines())
