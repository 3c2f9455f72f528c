"""What a server calls the settings of an answer, and which it does not take: learnt from its 400, once."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

NAMES_OF_LIMIT: Final = ("max_tokens", "max_completion_tokens")
"""For the most tokens of an answer; the first is tried first."""
MAY_LACK: Final = ("temperature", "top_p", "seed")
"""Settings that are left out where the server refuses them, as reasoning models do; rows say so."""
REFUSALS: Final = frozenset({400, 422})
_REFUSED: Final = re.compile(
    r"unsupported|not supported|(?:does|do)(?: not|n't) support|unrecogni[sz]ed|unknown|unexpected"
    r"|not (?:permitted|allowed)|deprecated|extra_forbidden|only the default",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Words:
    """How settings are written."""

    limit: str = NAMES_OF_LIMIT[0]
    lacks: frozenset[str] = frozenset()
    """Of MAY_LACK, what is left out."""

    def write(self, max_tokens: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Write settings into the body of a request."""
        return {self.limit: max_tokens, **{k: v for k, v in settings.items() if k not in self.lacks}}


class Dialect:
    """The words of one server and model; threads share it."""

    def __init__(self) -> None:
        self.words = Words()
        self._tried = {self.words.limit}
        self._lock = threading.Lock()

    def learn(self, sent: Words, body: Mapping[str, Any], error: Mapping[str, Any]) -> bool:
        """Learn from a refusal; tell whether the request is worth sending in other words.

        Args:
            sent: words of the request.
            body: of the request.
            error: what the server says of it: `message`, perhaps `param` and `code`.
        """
        with self._lock:
            if sent != self.words:  # another request has learnt since
                return True
            refused = _refused(error)
            other = next((name for name in NAMES_OF_LIMIT if name not in self._tried), None)
            if sent.limit in refused and other is not None:
                self._tried.add(other)
                self.words = replace(self.words, limit=other)
                return True
            if lacks := {name for name in MAY_LACK if name in refused and name in body}:
                self.words = replace(self.words, lacks=self.words.lacks | lacks)
                return True
            return False


def _refused(error: Mapping[str, Any]) -> set[str]:
    """Read which settings a server does not take; a value that is too large is none of them."""
    text = f"{error.get('code')} {error.get('type')} {error.get('message')}"
    if not _REFUSED.search(text):
        return set()
    names = (*NAMES_OF_LIMIT, *MAY_LACK)
    if error.get("param") in names:
        return {str(error["param"])}
    found = {name: at.start() for name in names if (at := re.search(rf"\b{name}\b", text))}
    # "'max_tokens' is not supported. Use 'max_completion_tokens' instead": the first one is refused.
    limits = sorted((name for name in NAMES_OF_LIMIT if name in found), key=lambda name: found[name])
    return {name for name in found if name in MAY_LACK} | set(limits[:1])
