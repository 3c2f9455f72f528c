"""Text of an answer while its tokens arrive: whole characters only, and an end at a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Decode token ids without special tokens, spaces as the tokenizer wrote them."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


class Text:
    """Grows token by token; `whole` has complete characters only.

    Decodes a window of the last few tokens, since a token's text may depend on the one before it (the space in front
    of a sentencepiece word) and a character may spread over several tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = ()) -> None:
        self.whole = ""
        self.end: int | None = None
        """Where the first stop string begins; None while there is none."""
        self._tokenizer, self._stop = tokenizer, stop
        self._ids: list[int] = []
        self._context = self._read = 0

    def add(self, token: int) -> None:
        """Take one more token."""
        self._ids.append(token)
        # Text is taken over only where it ends in a whole character. The window then moves on: what was read becomes
        # the context that the next tokens are decoded after, and no token is decoded more than a few times.
        new = self._unread()
        if new and not new.endswith("\ufffd"):
            # A stop string may begin in what was known before, but not further back than its length.
            searched = max(0, len(self.whole) - max(map(len, self._stop), default=1) + 1)
            self.whole += new
            self._context, self._read = self._read, len(self._ids)
            found = [at for at in (self.whole.find(s, searched) for s in self._stop) if at >= 0]
            self.end = min(found, default=None)

    def ready(self) -> str:
        """Return what no later token can take back: nothing of a stop string, nor of what may become one."""
        if self.end is not None:
            return self.whole[: self.end]
        held = max((n for s in self._stop for n in range(1, len(s)) if self.whole.endswith(s[:n])), default=0)
        return self.whole[: len(self.whole) - held]

    def final(self) -> str:
        """Return the whole answer: up to the stop string, or all, an unfinished character as U+FFFD."""
        return self.whole + self._unread() if self.end is None else self.whole[: self.end]

    def _unread(self) -> str:
        known = decode(self._tokenizer, self._ids[self._context : self._read])
        return decode(self._tokenizer, self._ids[self._context :])[len(known) :]
