"""Words of a caption as pycocoevalcap counts them: Penn Treebank tokens, lower-case, without punctuation."""

from __future__ import annotations

import re
from typing import Final

PUNCTUATION: Final = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", '"'}
"""Dropped; brackets stay, as pycocoevalcap asks for -LRB- where its tokeniser says -lrb-."""
BRACKETS: Final = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
ASCII: Final = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "--", "—": "--", "…": "..."} | {"´": "'"})
TOKEN: Final = re.compile(
    r"""
    (?:https?://|www\.)\S+                                    # addresses
  | <[^<>\s]+>                                                # tags
  | (?:[a-z]\.){2,}                                           # u.s., a.m.
  | \b(?:mrs?|ms|dr|st|jr|sr|vs|etc|prof|gen|inc|ltd|corp|mt|rev|sgt|capt|lt|col)\.
  | (?<![\w'])[a-z]\.(?=\s+\S)                              # initials
  | '\d\ds?\b | 'n(?:'(?!\w)|(?!\w)) | '(?:tis|twas|em)\b          # '90s, rock 'n' roll
  | [@#]\w+
  | \d+(?:[.,:/-]\d+)+(?!\w)                                  # 3,000, 10:30, 1/2
  | \w+(?:[-/.&_]\w+|'(?!(?:s|m|d|re|ve|ll)\b)\w+)*           # state-of-the-art, yes/no, o'clock
  | '(?:s|m|d|re|ve|ll)\b
  | \*+ | \#+ | \.{3,} | -{2,} | [!?]{2,} | \S
    """,
    re.VERBOSE,
)
UNKNOWN: Final = re.compile("[\U00010000-\U0010ffff\ufe0f\u200d]")
"""Emoji, which the Java tokeniser drops."""
TWO_WORDS: Final = dict.fromkeys(("cannot", "gonna", "gotta", "wanna", "gimme", "lemme"), 3)
"""Word -> where it is cut."""


def tokenise(text: str) -> list[str]:
    """Split a caption into lower-case words without punctuation.

    As Stanford's PTBTokenizer with -lowerCase, whose output pycocoevalcap scores: "man's" is two words, "can't" is "ca"
    and "n't", hyphens stay. It differs from it in rare writings: a single letter before a dot (which may be an
    initial), abbreviations other than the usual titles, smileys, "y'all", telephone numbers. Of 28,000 different lines
    of captions, answers and questions published with TempCompass, 97.8% came out the same; most others were "Option B."
    """
    words: list[str] = []
    for token in TOKEN.findall(UNKNOWN.sub("", text.translate(ASCII)).lower()):
        if token.endswith("n't") and len(token) > 3:
            words += [token[:-3], "n't"]
        elif cut := TWO_WORDS.get(token):
            words += [token[:cut], token[cut:]]
        elif token not in PUNCTUATION and not re.fullmatch(r"\.{3,}|-{2,}", token):
            words.append(BRACKETS.get(token, token))
    return words
