"""Rows of a job, which come in any order, grouped by what they are about, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zlib import crc32

from pipelines.results.schema import Row

MAX_ROWS_HELD: Final = 50_000
"""Rows up to which they are grouped in memory."""
NUM_BUCKETS: Final = 256
"""Files that more rows than that are spread over; one of them is in memory at a time."""

Key = Callable[[Row], str]


def group_rows(rows: Iterable[Row], key: Key, scratch: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield keys with their rows, in an order that depends on the rows alone, not on theirs.

    Args:
        key: of a row.
        scratch: folder for temporary files, if there are many rows.
    """
    rest = iter(rows)
    held = list(islice(rest, MAX_ROWS_HELD + 1))
    if len(held) <= MAX_ROWS_HELD:
        yield from _by_key(held, key)
        return
    with TemporaryDirectory(dir=scratch, prefix=".groups-") as folder:
        paths = [Path(folder) / f"{i}.jsonl" for i in range(NUM_BUCKETS)]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in paths]
            for row in chain(held, rest):
                place = crc32(key(row).encode("utf-8", "surrogatepass")) % NUM_BUCKETS
                files[place].write(json.dumps(row).encode("ascii") + b"\n")
        held.clear()
        for path in paths:
            with path.open("rb") as file:
                yield from _by_key(map(json.loads, file), key)


def _by_key(rows: Iterable[Row], key: Key) -> Iterator[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    for name in sorted(groups):
        yield name, sorted(groups[name], key=lambda row: str(row["id"]))
