"""What prompts an LLM can take."""

from __future__ import annotations

from collections.abc import Sequence

from videollm.engines.packing import VISUAL, Position
from videollm.errors import UserError


def check_prompt(
    prompt: Sequence[int], positions: Sequence[Position] | None, *, limit: int | None, vocabulary: int
) -> None:
    """Check that a prompt ends in text, and fits.

    Args:
        prompt: VISUAL for each visual token.
        positions: of every token and of the one to come; None numbers them.
        limit: positions that the LLM has, if it is known.
        vocabulary: tokens that it embeds.
    Raises:
        UserError: it does not.
    """
    if not prompt or prompt[-1] == VISUAL:
        raise UserError("Prompt has no text after its visual tokens; expected at least one token to answer to.")
    next_position = len(prompt) if positions is None else largest(positions[-1])
    if limit is not None and next_position >= limit:
        num_visual = sum(i == VISUAL for i in prompt)
        at = "" if next_position == len(prompt) else f" and ends at position {next_position}"
        raise UserError(
            f"Prompt has {len(prompt)} tokens ({num_visual} of them visual){at} but the LLM "
            f"takes fewer than {limit}. Use fewer frames, a connector that compresses more, or a shorter text."
        )
    _check_ids(prompt, "Prompt", vocabulary)


def check_continuations(
    continuations: Sequence[Sequence[int]], next_position: Position, *, limit: int | None, vocabulary: int
) -> None:
    """Check that texts to score have tokens, and fit behind a prompt.

    Args:
        continuations: ids of each.
        next_position: of the first token of each.
        limit: as in `check_prompt`.
        vocabulary: likewise.
    Raises:
        UserError: one does not.
    """
    for number, ids in enumerate(continuations, 1):
        if not ids:
            raise UserError(f"Continuation {number} of {len(continuations)} has no tokens; expected a text to score.")
        _check_ids(ids, f"Continuation {number}", vocabulary)
        if limit is not None and largest(next_position) + len(ids) - 1 > limit:
            raise UserError(
                f"Continuation {number} has {len(ids)} tokens behind a prompt that ends at position "
                f"{largest(next_position)}, and the LLM takes {limit} in all. Use fewer frames, or a shorter text."
            )


def largest(position: Position) -> int:
    """Return the largest component of a position."""
    return position if isinstance(position, int) else max(position)


def _check_ids(ids: Sequence[int], what: str, vocabulary: int) -> None:
    if max(ids) >= vocabulary:
        raise UserError(
            f"{what} holds token id {max(ids)} but the LLM embeds {vocabulary}. "
            "Use the LLM's own tokenizer, or resize its embeddings."
        )
