"""Chat prompts around visual tokens. What a user wrote is data: it never becomes a control token or a visual token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from videollm.engines.packing import VISUAL
from videollm.errors import UserError
from videollm.prompts.question import NO_OCR, format_question

TAG: Final = "<video>"
"""Stands for the visual tokens in a prompt's text."""
_MARK: Final = re.compile("\x00([0-9]+)\x00")
"""In a rendered template: number 0 is a span of visual tokens, the others are words not to be read as tokens."""


@dataclass(frozen=True, kw_only=True)
class ChatPrompt:
    """Turns a question on a clip into token ids, by a chat template.

    The user's turn is the video, a separator and the question. The rendered text is cut at the visual tokens and each
    piece tokenized by itself, as official code does.

    Raises:
        UserError: the tokenizer has no chat template.
    """

    tokenizer: PreTrainedTokenizerBase
    system: str | None = None
    """System message of requests that bring none."""
    system_format: str = "{}"
    """Put around a system message; `<<SYS>>\\n{}\\n<</SYS>>` for VideoLLaMA2 on Mistral."""
    enable_thinking: bool = False
    """Passed to templates that know it (Qwen3)."""
    template: str | None = None
    """Jinja template, instead of the tokenizer's own."""
    separator: str = "\n"
    """Between the video and the question."""
    placeholder: str | None = None
    """What the template writes for a video, where it takes the user's turn as a list of parts: the visual tokens take
    its place. None is a template that takes text, in which the visual tokens come first."""
    begin: bool = False
    """Put the tokenizer's begin token in front of the ids, where the template does not write it."""
    ocr: str | None = None
    """Put behind a question that brings text found in the pictures, `{}` for that text; None takes no such text."""

    def __post_init__(self) -> None:
        if not (self.template or self.tokenizer.chat_template):
            raise UserError("Tokenizer has no chat template. Set tokenizer.chat_template, or load one that has it.")

    def __call__(
        self,
        question: str,
        visual: int | Sequence[int | str],
        *,
        options: Sequence[str] = (),
        system: str | None = None,
        ocr: str | None = None,
    ) -> tuple[list[int], str]:
        """Make the ids and the text of one prompt.

        Args:
            question: the user's text, taken literally.
            visual: number of visual tokens, or of each span of them and the text around the spans, in order; 0 for a
                prompt without a video.
            options: answers to choose from.
            system: system message, instead of the default one.
            ocr: text found in the pictures.
        Returns:
            The ids, VISUAL for every visual token, and the text with `<video>` for every span.
        Raises:
            UserError: more than 26 options; text of the pictures for a model that takes none; the chat template leaves
                out or repeats the user's content.
        """
        layout = [part for part in ([visual] if isinstance(visual, int) else visual) if part]
        sizes = [part for part in layout if isinstance(part, int)]
        words: list[str] = [TAG]
        seen = "".join(part if isinstance(part, str) else "\x000\x00" for part in layout)
        asked = self._guard(format_question(question, options) + self._read(ocr), words)
        system = self.system if system is None else system
        rendered = self._render(seen, asked, self.system_format.format(self._guard(system, words)) if system else None)
        pieces = _MARK.split(rendered)
        if (written := pieces[1::2].count("0")) != len(sizes):
            raise UserError(
                f"Chat template wrote {written} spans of visual tokens; expected {len(sizes)}. "
                "Use a template that writes the user's content once."
            )
        begin = [self.tokenizer.bos_token_id] if self.begin else []
        return [*begin, *self._ids(pieces, words, sizes)], _MARK.sub(lambda m: words[int(m[1])], rendered)

    def continuation(self, text: str) -> list[int]:
        """Tokenize a text as the LLM would write it behind a prompt, taken literally.

        The text is tokenized by itself, as the first text of an answer: without control tokens, and never merged with
        the end of the prompt, whose ids stay what they are. A tokenizer of the kind of sentencepiece that puts a space
        in front of a text does so here too, as it did in training behind `ASSISTANT:`; one that works on bytes does
        not, as behind a line break. No space is taken away, and none is added: " yes" and "yes" are two texts.
        """
        words = [TAG]
        return self._ids(_MARK.split(self._guard(text, words)), words, ())

    def _ids(self, pieces: Sequence[str], words: Sequence[str], sizes: Sequence[int]) -> list[int]:
        """Make ids of a text that is split at its marks, given the words that marks stand for, and sizes of spans."""
        ids: list[int] = []
        remaining = iter(sizes)
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                ids += self._tokenize(piece, inside=i > 0)
            elif piece == "0":
                ids += [VISUAL] * next(remaining)
            else:  # No token's name is read in two halves.
                word = words[int(piece)]
                ids += [*self._tokenize(word[:1]), *self._tokenize(word[1:])]
        return ids

    def _read(self, ocr: str | None) -> str:
        if not ocr:
            return ""
        if self.ocr is None:
            raise UserError(NO_OCR)
        return self.ocr.replace("{}", ocr)

    def _render(self, seen: str, asked: str, system: str | None) -> str:
        if system:
            try:
                return self._template([self._message("system", "", system), self._message("user", seen, asked)], seen)
            except TemplateError:  # Raised by templates without a system role.
                return self._template([self._message("user", seen, asked, before=f"{system}\n\n")], seen)
        return self._template([self._message("user", seen, asked)], seen)

    def _message(self, role: str, seen: str, text: str, *, before: str = "") -> dict[str, Any]:
        if self.placeholder is None:
            return {"role": role, "content": before + (f"{seen}{self.separator}{text}" if seen else text)}
        video = [{"type": "video"}] if seen else []
        return {"role": role, "content": [*video, {"type": "text", "text": before + text}]}

    def _template(self, messages: list[dict[str, Any]], seen: str) -> str:
        text = self.tokenizer.apply_chat_template(
            messages,
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=self.enable_thinking,
        )
        assert isinstance(text, str)
        return text if self.placeholder is None or not seen else text.replace(self.placeholder, seen, 1)

    def _tokenize(self, text: str, *, inside: bool = False) -> list[int]:
        """Tokenize a piece; `inside` a text that official code tokenizes whole, no space is put in front of it."""
        if inside and self.placeholder and text:
            return self._tokenize(self.placeholder + text)[len(self._tokenize(self.placeholder)) :]
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _guard(self, text: str, words: list[str]) -> str:
        """Replace texts that the tokenizer would read as control tokens by marks; `words` receives these texts."""

        def mark(found: re.Match[str]) -> str:
            words.append(found[0])
            return f"\x00{len(words) - 1}\x00"

        # Added tokens of white space alone (runs of spaces in code) are text; a NUL could be taken for a mark.
        added = self.tokenizer.added_tokens_decoder.values()
        names = {t.content for t in added if len(t.content) > 1 and not t.content.isspace()} | {"\x00"}
        if self.placeholder and not any(name in self.placeholder for name in names):
            names.add(self.placeholder)
        return re.sub("|".join(map(re.escape, sorted(names, key=len, reverse=True))), mark, text)
