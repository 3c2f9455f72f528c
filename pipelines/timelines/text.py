"""Text of a caption in files that have rules of their own about it."""

from __future__ import annotations

import re
from html import unescape
from typing import Final

from pipelines.requests.types import printable

CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ARROWS: Final = re.compile(r"--+>+")
"""What parts the times of a cue; in its text it would make a line of it."""
TAGS: Final = re.compile(r"<(?=\s*/?\s*[a-zA-Z][^>]*>|[\d:.]+>)")
"""What readers of SubRip take for a tag, which they show or drop."""
ENTITIES: Final = re.compile(r"&[#\w]+;?")
METADATA: Final = re.compile(r"[=;#\\\n]")


def one_line(text: str) -> str:
    """Put text on one line, without control characters and without `-->`."""
    return " ".join(ARROWS.sub(" ", CONTROLS.sub(" ", printable(text))).split())


def vtt_text(text: str) -> str:
    """Escape text for WebVTT, whose cues hold a kind of HTML."""
    escaped = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _without_overrides(escaped)


def srt_text(text: str) -> str:
    """Escape text for SubRip, which has no rules: only what would be taken for a tag or an entity."""
    escaped = ENTITIES.sub(lambda m: m[0] if unescape(m[0]) == m[0] else f"&amp;{m[0][1:]}", one_line(text))
    return _without_overrides(TAGS.sub("&lt;", escaped))


def metadata_text(text: str) -> str:
    """Escape text for FFmpeg's metadata files."""
    escaped = METADATA.sub(r"\\\g<0>", text)
    return f"{escaped} " if text.endswith("\\") else escaped  # FFmpeg takes an escaped backslash for that of a new line


def _without_overrides(text: str) -> str:
    r"""Escape what players take for an override of SubStation: `{\an8}`, and `\N` for a new line."""
    return text.replace("{\\", "&#123;\\").replace("\\N", "&#92;N")
