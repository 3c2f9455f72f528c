"""What a server said, read: an answer with its figures, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from videollm.adapters.transport import EndpointError, Response

MAX_TEXT: Final = 500
"""Characters of what a server says that stand in a row."""


@dataclass(frozen=True, kw_only=True)
class ReplyError:
    """An error that a server told."""

    code: int
    """HTTP status, or the one that stands in an error of status 200."""
    message: str
    """For the row."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """`message`, `param`, `code`, ... as the server says them."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer."""

    text: str
    finish_reason: str
    num_prompt_tokens: int | None
    num_generated_tokens: int | None
    served: str | None
    """Which model answered, as far as the server says."""


def error_of(response: Response) -> ReplyError | None:
    """Read the error of a response; None where it is none, which need not mean that it can be read."""
    try:
        told = response.json()
    except ValueError:
        told = None
    found = told.get("error") if isinstance(told, dict) else None
    if 200 <= response.code < 300 and not found:
        return None
    if found is None and isinstance(told, dict):  # `message` (older vLLM), `detail` (FastAPI)
        found = told if "message" in told else told.get("detail")
    details = found if isinstance(found, dict) else {"message": found}
    text = str(details.get("message") or response.body[:MAX_TEXT].decode("utf-8", "replace"))
    code = response.code
    if 200 <= code < 300:
        inner = details.get("code")
        code = inner if isinstance(inner, int) and 400 <= inner < 600 else 400
    return ReplyError(code=code, message=f"HTTP {code}: {_short(text)}", details={**details, "message": text})


def read_reply(response: Response) -> Reply:
    """Read an answer.

    Raises:
        EndpointError: it is none.
    """
    try:
        told = response.json()
        choice = told["choices"][0]
        text, reason = _text(choice["message"]), choice.get("finish_reason")
        usage = told.get("usage") or {}
        served = [("model", told.get("model")), ("fingerprint", told.get("system_fingerprint"))]
        return Reply(
            text=text,
            finish_reason=str(reason or "unknown"),
            num_prompt_tokens=_count(usage.get("prompt_tokens")),
            num_generated_tokens=_count(usage.get("completion_tokens")),
            served=", ".join(f"{name} {value}" for name, value in served if value) or None,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        got = _short(response.body[: 2 * MAX_TEXT].decode("utf-8", "replace"))
        raise EndpointError(
            f"The server's answer cannot be read ({type(error).__name__}: {_short(str(error), 100)}); expected a chat "
            f"completion, got {got!r}. Check that --base-url ends where /chat/completions begins.",
            response.code,
        ) from error


def _text(message: Mapping[str, Any]) -> str:
    """Read the text of a message: a string, a list of parts, or none (`content_filter`; a refusal stands apart)."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if content is None:
        content = message.get("refusal") or ""
    if not isinstance(content, str):
        raise TypeError(f"content is {type(content).__name__}")
    return content


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _short(text: str, most: int = MAX_TEXT) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."
