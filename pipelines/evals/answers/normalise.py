"""Removal of what dresses an answer: special tokens, thinking, Unicode forms, Markdown and LaTeX."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

SPECIAL_TOKENS: Final = re.compile(
    r"</?s>|<\|(?:im_start|im_end|endoftext|eot_id|end|return)\|>|<(?:bos|eos|pad|end_of_turn)>"
)
THINKING: Final = re.compile(
    r"(<(think|thinking|thought|reasoning)>|◁think▷).*?(</\2>|◁/think▷)", re.DOTALL | re.IGNORECASE
)
OPENS_THINKING: Final = re.compile(r"<(?:think|thinking|thought|reasoning)>|◁think▷", re.IGNORECASE)
CLOSES_THINKING: Final = re.compile(r"</(?:think|thinking|thought|reasoning)>|◁/think▷", re.IGNORECASE)
ROLE: Final = re.compile(r"^\s*(?:assistant|model|bot|gpt)\s*:\s*", re.IGNORECASE)
LATEX_TEXT: Final = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf|bf|rm)\s*\{([^{}]*)\}")
FENCE: Final = re.compile(r"^\s*```[a-z]*\s*$", re.MULTILINE)
HEADING: Final = re.compile(r"^\s*(?:#{1,6}|>)\s+", re.MULTILINE)
EMPHASIS: Final = re.compile(r"\*{1,3}|~~|`+|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)|\$+(?=[\\A-Za-z(]|\s|$)")
SAME_IN_BOTH_ALPHABETS: Final = str.maketrans({"А": "A", "С": "C", "Α": "A", "Β": "B", "Ε": "E"})
"""Cyrillic and Greek letters that look like a Latin one and cannot mean another option: first letter of either alphabet
(А, Α), second (Β), fifth (Ε), or too late in the alphabet to be counted (С)."""
SPACES: Final = re.compile(r"[^\S\n]+")
NEW_LINES: Final = re.compile(r"\s*\n\s*\n\s*")
STANDALONE: Final = re.compile(r"(?<!\w)[АСΑΒΕ](?!\w)")


def without_thinking(text: str) -> str | None:
    """Return the text after thinking; None where the model was cut off while thinking, without an answer.

    A closing tag without its opening one is usual: the chat template opens the thinking in the prompt.
    """
    text = THINKING.sub("\n", SPECIAL_TOKENS.sub("", text))
    if OPENS_THINKING.search(text):
        return None
    return CLOSES_THINKING.split(text)[-1].strip()


def normalise(text: str) -> str:
    """Strip Markdown, LaTeX and role names, and bring Unicode to its compatibility composition (NFKC).

    Full-width and circled letters become ASCII ones, typographic quotes straight ones.
    """
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = ROLE.sub("", LATEX_TEXT.sub(r"\1", text))
    text = EMPHASIS.sub("", HEADING.sub("", FENCE.sub("", text)))
    text = STANDALONE.sub(lambda found: found[0].translate(SAME_IN_BOTH_ALPHABETS), text)
    return SPACES.sub(" ", NEW_LINES.sub("\n\n", text)).strip()
