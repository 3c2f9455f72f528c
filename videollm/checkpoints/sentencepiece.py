"""Tokenizers of a SentencePiece model that repositories read with code of their own (InternLM2)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tokenizers import normalizers, pre_tokenizers
from transformers import LlamaTokenizer, PreTrainedTokenizerBase

from videollm.errors import UserError

MODEL: Final = "tokenizer.model"
SPACE: Final = "\u2581"


def load_sentencepiece(folder: Path) -> PreTrainedTokenizerBase:
    """Load a byte-pair tokenizer.model; the text between two control tokens is encoded as SentencePiece does it alone.

    Raises:
        UserError: the file is damaged, or a package that reads it is missing.
    """
    try:
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_file=str(folder / MODEL)).encode("a", out_type=str)
        made: PreTrainedTokenizerBase = LlamaTokenizer.from_pretrained(folder, local_files_only=True)
    except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"{folder / MODEL} does not load: {error}. Install sentencepiece, or fetch it again."
        ) from error
    # transformers' own puts no space in front of a text that begins with one.
    space = [normalizers.Prepend(SPACE)] if pieces[0].startswith(SPACE) else []
    made.backend_tokenizer.normalizer = normalizers.Sequence([*space, normalizers.Replace(" ", SPACE)])
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
    return made
