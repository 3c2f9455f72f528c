"""Benchmark and its samples: what is read from official files, the prompt, the official rule; a small class each.

The rest is common code: one decode and encode per video, the strict parser, statistics, provenance, the report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from videollm.prompts.question import format_question
from videollm.types import Clip, Search

Span = tuple[float, float]
"""First second and last one, exclusive."""
Kind = Literal["choice", "open", "captions", "grounding"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A question of a benchmark."""

    id: str
    """Unique within the benchmark."""
    clip: Clip
    """Its video's path, and the segment that is asked about."""
    question: str
    options: tuple[str, ...] = ()
    """Texts to choose from, without their letters."""
    lettered: bool = True
    """Whether the prompt puts letters before them: if not, an answer must name one by its words."""
    answer: int | tuple[str, ...] | None = None
    """Index of the right option; or all texts that are right (references of a caption); None: not published."""
    evidence: tuple[Span, ...] = ()
    """Seconds of its video that show the answer, or that are the answer where there are no options."""
    seconds: float | None = None
    """Length of its video, where the annotations say it."""
    groups: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Name of a grouping -> this question's group, or all of its groups where it counts in several."""
    ocr: str | None = None
    """Text in its pictures as a reader of text found it, for models that take it."""
    subtitles: Path | None = None
    """.srt or .json file of its video, if it has one."""
    subtitles_from: float = 0.0
    """Seconds in that file at which the video begins (LongVideoBench cuts its videos out of longer ones)."""

    def rotated(self, by: int) -> Sample:
        """Return the question with its options moved on: the one at index `by` comes first."""
        if not by:
            return self
        options = self.options[by:] + self.options[:by]
        answer = (self.answer - by) % len(options) if isinstance(self.answer, int) else self.answer
        return Sample(**{**vars(self), "options": options, "answer": answer})


def each(group: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return all groups of a grouping in which a question counts."""
    return (group,) if isinstance(group, str) else group


class Benchmark(ABC):
    """A benchmark; a subclass holds its particulars."""

    kind: Kind = "choice"
    """How answers are scored: by the option they name, by their words, as captions; or (grounding) by the option, where
    there are none by the seconds they name, and in both cases by the seconds taken as evidence."""
    tolerance_seconds: ClassVar[float | None] = None
    """Seconds that are answered count as right if their middle is so near to that of the true ones; None: they are
    scored by how well they meet alone."""
    splits: ClassVar[tuple[str, ...]] = ("test",)
    """Names for --split; the first is run if none is given."""
    datasets: ClassVar[tuple[str, ...]] = ()
    """Of each split, the dataset of the hub with its annotations and videos as they are read here; "" where none is."""
    source: ClassVar[str] = ""
    """Where the files are to be had that are in no dataset of the hub."""
    groups: tuple[str, ...] = ()
    """Groupings that get a table, in this order."""
    macro: ClassVar[str | None] = None
    """Grouping whose groups weigh the same in the headline score; None: every question weighs the same."""
    max_new_tokens: ClassVar[int] = 64
    """Tokens of an answer, unless the user says otherwise."""
    folder: Path | None = None
    """Where its files lie if the user names no folder."""
    subtitles_heading: ClassVar[str] = "This video's subtitles are listed below:"
    """Line above the subtitles of the sampled frames, which stand before the prompt."""

    @abstractmethod
    def samples(self, folder: Path, split: str) -> Iterable[Sample]:
        """Return the questions in the order of the annotation files.

        Raises:
            UserError: a file or a field is missing or wrong; the message names it.
        """

    @abstractmethod
    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """List the annotation files that `samples` reads, for the record of the run."""

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the prompt, by default in VideoLLaMA2's form.

        Args:
            sample: its options may be rotated.
            subtitles: the subtitles will stand before it.
        """
        return format_question(sample.question, sample.options)

    def search(self, sample: Sample) -> Search:
        """Tell by what a strategy searches for the answer."""
        return Search(stem=sample.question, options=sample.options, lettered=sample.lettered)

    def official(self, sample: Sample, text: str) -> bool | None:
        """Tell whether an answer is right under the benchmark's own rule, quirks included; None: there is no rule.

        Args:
            sample: as it was asked, its options rotated if they were.
            text: raw output.
        """
        return None

    def said(self, sample: Sample, text: str) -> str:
        """Rewrite a raw output in the words of the options, before the strict parser reads it; unchanged here."""
        return text

    def union_score(self, predicted: Sequence[Span], truth: Sequence[Span]) -> float | None:
        """Score evidence by the benchmark's own rule; None: it has none."""
        return None

    def measures(self, sample: Sample, row: Mapping[str, Any]) -> Mapping[str, float]:
        """Measure an answer by figures that are no shares: name with its unit -> figure, where there is one.

        Args:
            row: of an answer, its status ok.
        """
        return {}

    def submission(self, chosen: Sequence[tuple[Sample, int | None]]) -> tuple[str, str] | None:
        """Write the file that the benchmark's server takes: its name and text; None: there is no server.

        Args:
            chosen: every sample with the option the strict parser read, None where it read none.
        """
        return None
