"""The page, one HTML file of page.html, page.css, the scripts and the data, which fetches nothing.

Data stand in blocks of JSON in which no character of HTML is left; the scripts show them as text only. The page's
Content-Security-Policy allows the very style and script below, by their hashes, pictures made of data, and videos that
lie where the page lies; no network.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

from videollm.io import atomic_write

SCRIPTS: Final = (
    *("data.js", "draw.js", "rows.js", "summary.js", "list.js", "question.js"),
    *("videos.js", "watch.js", "strip.js", "page.js"),
)
"""In the order in which they need each other; all of them are one script of the page."""
STYLES: Final = ("page.css", "videos.css")
UNSAFE: Final = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
"""What could end a block of JSON, or is no text that UTF-8 can hold."""


def write_page(path: Path, *, title: str, data: Any, pictures: Iterable[Sequence[bytes]]) -> None:
    """Write the page in one step.

    Args:
        title: of the window.
        data: JSON-able content of the page.
        pictures: JPEG files of every strip, in the order of the data's strips.
    Raises:
        OSError: it cannot be written.
    """
    style, script = ("\n".join(map(_part, names)) for names in (STYLES, SCRIPTS))
    policy = (
        "default-src 'none'; img-src data:; media-src 'self'; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    head, _, tail = (
        Template(_part("page.html"))
        .substitute(
            title=html.escape(title), policy=policy, style=style, script=script, data=as_block(data), pictures="\0"
        )
        .partition("\0")
    )
    with atomic_write(path) as scratch, scratch.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head)
        for i, jpegs in enumerate(pictures):
            if jpegs:
                block = as_block([base64.b64encode(j).decode("ascii") for j in jpegs])
                file.write(f'<script type="application/json" id="pictures-{i}">{block}</script>\n')
        file.write(tail)


def as_block(value: Any) -> str:
    """Write JSON that can stand in a script element, whatever texts the value holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _part(name: str) -> str:
    return (files("pipelines.evals.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
