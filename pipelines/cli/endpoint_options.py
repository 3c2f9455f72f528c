"""Options of models behind a server (`--model openai:NAME`)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

NO_EFFECT: Final = frozenset({"concurrency", "request_timeout", "tries", "api_key_env", "max_request_mb", "max_images"})
"""Options that change no answer: rows do not depend on them."""


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """The server of `--model openai:NAME`. The key is read from the environment, and written nowhere."""

    base_url: str | None = None
    """Address of an OpenAI-compatible server: `http://localhost:8000/v1`."""
    api_key_env: str | None = None
    """Environment variable that holds the server's key; by default OPENAI_API_KEY, where it is set."""
    frames_as: Literal["images", "video", "file"] | None = None
    """`images` (default): a JPEG per frame, after its time. `video`: all frames as one video, for vLLM. `file`: the
    video itself, of which the server chooses frames."""
    jpeg_quality: int | None = None
    """1 to 95; by default 90."""
    jpeg_chroma: Literal["4:4:4", "4:2:2", "4:2:0"] | None = None
    """Resolution of colour; by default `4:4:4`."""
    max_side: int | None = None
    """Pixels of a sent frame's longer side, at most; by default 768."""
    max_images: int | None = None
    """Images that the server takes in a request; more are an error row. By default no limit of ours."""
    max_request_mb: float | None = None
    """MB that the server takes in a request; more are an error row. By default 256."""
    concurrency: int | None = None
    """Requests at once, halved where the server has too many; by default 32."""
    request_timeout: float | None = None
    """Seconds for one request; by default 300."""
    tries: int | None = None
    """Requests in all where connections break or the server is busy, with growing waits; by default 6."""

    def given(self) -> dict[str, Any]:
        """Return what was given, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def in_config(self) -> dict[str, Any]:
        """Return what was given and rows depend on."""
        return {name: value for name, value in self.given().items() if name not in NO_EFFECT}
