"""A user's own benchmark without code: a table of questions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from pipelines.evals.annotations import Fields, checked, csv_rows, jsonl_rows
from pipelines.evals.benchmark import Benchmark, Sample
from pipelines.requests.manifest import parse_options
from videollm.errors import UserError
from videollm.io import is_remote, local_name
from videollm.types import Clip

TABLES: Final = {".csv": csv_rows, ".jsonl": jsonl_rows}
"""Extension -> reader."""

_LETTER: Final = re.compile(r"\(?([A-Za-z])[.):]?")
_LIST: Final = "a list of texts, or one text with | between them"


class TableBenchmark(Benchmark):
    """Rows of video, question, answer [, options, id, start, end, subtitles, ocr, group, group_*], .jsonl or .csv.

    With options (a list, or one text with | between), the answer is an option's text or its letter; a number that is no
    option's text is refused: it may count from 0 or from 1. Without, the question is open-ended and the answer a text
    that is right, or several (a list, or with | between). All rows of a file have options, or none.
    Groups: the column `group`, and every column whose name starts with `group_`; other columns are left alone.
    Relative paths start at the folder.

    Args:
        path: the table.
    Raises:
        UserError: it cannot be read, is empty, or has rows with and without options.
    """

    splits = ("all",)

    def __init__(self, path: Path) -> None:
        if path.suffix not in TABLES:
            raise UserError(f"{path} is no table of questions; expected {' or '.join(TABLES)}.")
        self.path, self.folder = path, path.absolute().parent

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions in the order of the file."""
        rows = list(TABLES[self.path.suffix](self.path))
        with_options = [row for row in rows if row.values.get("options") not in (None, "")]
        if 0 < len(with_options) < len(rows):
            without = next(row for row in rows if row.values.get("options") in (None, ""))
            raise UserError(
                f"{without.where} has no options but {with_options[0].where} has. Put open-ended questions and those "
                "with options into files of their own: they are scored in different ways."
            )
        names = dict.fromkeys(name for row in rows for name in row.values)
        groups = tuple(name for name in names if name == "group" or name.startswith("group_"))
        samples = checked(_samples(rows, groups, folder), [self.path])
        self.infer_kind(samples)
        return samples

    def infer_kind(self, samples: Sequence[Sample]) -> None:
        """Set kind and groups from the questions."""
        self.kind = "choice" if samples[0].options else "open"
        self.groups = tuple(samples[0].groups)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the table."""
        return [self.path]


def _samples(rows: Sequence[Fields], groups: Sequence[str], folder: Path) -> Iterator[Sample]:
    for number, row in enumerate(rows, 1):
        video = row.text("video")
        start, end = row.segment()
        options = _texts(row, "options") if row.values.get("options") not in (None, "") else ()
        if options and not 1 < len(options) <= len(ascii_uppercase):
            raise row.wrong("options", f"2 to {len(ascii_uppercase)} of them")
        yield Sample(
            id=row.text("id") if row.values.get("id") not in (None, "") else f"{Path(video).stem}-{number}",
            clip=Clip(video=video if is_remote(video) else str(folder / local_name(video)), start=start, end=end),
            question=row.text("question"),
            options=options,
            answer=_choice(row, options) if options else _texts(row, "answer"),
            groups={name: row.text(name) for name in groups},
            ocr=row.text("ocr") if row.values.get("ocr") not in (None, "") else None,
            subtitles=_subtitles(row, folder),
        )


def _texts(row: Fields, name: str) -> tuple[str, ...]:
    """Read a list of texts, none of them blank."""
    value = row.values.get(name)
    try:
        texts = tuple(t.strip() for t in parse_options(value if isinstance(value, list) else row.text(name)))
    except (TypeError, ValueError):
        raise row.wrong(name, _LIST) from None
    if not all(texts):
        raise row.wrong(name, _LIST)
    return texts


def _choice(row: Fields, options: Sequence[str]) -> int:
    """Return the index of the one option that the answer names, by its text or its letter."""
    answer = row.text("answer").strip()
    letter = _LETTER.fullmatch(answer)
    index = ascii_uppercase.index(letter[1].upper()) if letter else None
    named = {i for i, option in enumerate(options) if option == answer or i == index}
    if not named:
        last = ascii_uppercase[len(options) - 1]
        raise row.wrong("answer", f"one of {list(options)} or a letter, A to {last}; a number may count from 0 or 1")
    if len(named) > 1:
        letters = " and ".join(ascii_uppercase[i] for i in sorted(named))
        raise row.wrong("answer", f"one option, but it fits {letters}; write the letter in brackets")
    return named.pop()


def _subtitles(row: Fields, folder: Path) -> Path | None:
    if row.values.get("subtitles") in (None, ""):
        return None
    path = folder / row.text("subtitles")
    if not path.is_file():
        raise UserError(f"{row.where}: its subtitles {path} are missing. Give the path of an .srt, .vtt or .json file.")
    return path
