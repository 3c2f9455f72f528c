"""What a model does around its connector: checks, batches that memory bounds, questions for connectors that ask.

SHAPES  q tokens of a question, d_llm LLM width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from torch import Tensor

from connectors import ClipFeatures, Connector
from videollm.errors import UserError
from videollm.models.protocol import EncodedClip, Visual

MAX_FRAMES_PER_CONNECT: Final = 64
"""Frames whose features go through the connector at once, unless a single clip (or pack) has more."""


def show(
    clips: Sequence[EncodedClip], questions: Sequence[Sequence[str]], embed: Callable[[str], Tensor]
) -> list[tuple[int, str, EncodedClip]]:
    """Show its questions to each clip.

    Args:
        clips: as the tower sees them.
        questions: of each clip.
        embed: gives a question's embeddings (q d_llm).
    Returns:
        For each clip and question, once: the clip's number, the question, and the clip with the question.
    """
    embedded = {text: embed(text) for text in dict.fromkeys(text for of_clip in questions for text in of_clip if text)}
    return [
        (i, text, _with_question(clip, embedded.get(text)))
        for i, (clip, of_clip) in enumerate(zip(clips, questions, strict=True))
        for text in dict.fromkeys(of_clip)
    ]


def gather(
    plain: Sequence[Visual], shown: Sequence[tuple[int, str, EncodedClip]], made: Sequence[Visual]
) -> list[Visual]:
    """Put what was made for questions beside what was made for none.

    Args:
        plain: for each clip.
        shown: what `show` gave.
        made: for each of these.
    """
    by_question: list[dict[str, Visual]] = [{} for _ in plain]
    for (i, text, _), visual in zip(shown, made, strict=True):
        by_question[i][text] = visual
    return [replace(visual, asked=of_clip) for visual, of_clip in zip(plain, by_question, strict=True)]


def check_needs(connector: Connector, tower: str, offered: Collection[str]) -> None:
    """Check that a tower gives what a connector needs.

    Args:
        connector: to be put behind the tower.
        tower: its name, for the message.
        offered: names of what it gives beside its features.
    Raises:
        UserError: it does not.
    """
    if lacking := [name for name in connector.needs if name not in offered]:
        raise UserError(
            f"{type(connector).__name__} needs {', '.join(lacking)} of the vision tower, and {tower} offers "
            f"{', '.join(sorted(offered)) or 'its features alone'}. Use another connector or another model."
        )


@contextmanager
def connector_errors() -> Iterator[None]:
    """Turn what a connector's contract lets it raise into an error for the user."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error


def runs(features: Sequence[ClipFeatures]) -> Iterator[list[ClipFeatures]]:
    """Split features, in order, into runs of the number of frames that the connector takes at once."""
    run: list[ClipFeatures] = []
    for part in features:
        if run and sum(len(f.frames) for f in (*run, part)) > MAX_FRAMES_PER_CONNECT:
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _with_question(clip: EncodedClip, question: Tensor | None) -> EncodedClip:
    return replace(clip, features=tuple(replace(part, question=question) for part in clip.features))
