"""Options of captions part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pipelines.timelines.chapters import branch
from pipelines.timelines.ranges import windows_per_span
from pipelines.timelines.segments import MIN_SECONDS
from pipelines.timelines.splitters.base import SPLITTERS, SplitOptions
from videollm.checkpoints import EMBEDDED
from videollm.errors import UserError
from videollm.types import Generation

if TYPE_CHECKING:
    from pipelines.jobs.resolve import ResolvedJob
    from pipelines.jobs.work import Method
    from pipelines.timelines.given_file import GivenSegments
    from videollm.models.protocol import ModelInfo

EXTRACTED: Final = 1_000_000
"""Parts that are put together at once where no LLM reads them."""
TOKENS_PER_CHARACTER: Final = 0.5
"""Of a prompt, at most: few texts in European languages have more."""
CHAT_TOKENS: Final = 64
"""Of a chat template, at most."""


@dataclass(frozen=True, kw_only=True)
class PartOptions(SplitOptions):
    """Long videos: captions part by part, summed up."""

    split: str = "none"
    """How videos are split: `fixed`, `shots`, `scenes`, `given`, `pkg.mod:Class`; `none` captions each as a whole."""
    segments: Path | None = None
    """With --split given: a manifest (video, start, end), one video's .vtt or chapters (.json), or a folder of those,
    named after the videos."""
    levels: str = "segment,chapter,video"
    """Rows to make: of segments, of chapters, of whole videos."""
    chapter_minutes: float = 5.0
    """About how long chapters are."""
    reduce: Literal["auto", "llm", "extract"] = "auto"
    """What sums up: the LLM, or the captions that differ most, put together; `auto` is `extract` for models that read
    no notes (the embedded ones)."""
    context: Literal["none", "previous"] = "none"
    """Tell the model the caption of the segment before; a video's segments then wait for one another."""
    prompt_segment: str | None = None
    """Prompt of a segment, a text or a file, with {start}, {end} and {question} (--prompt)."""
    prompt_chapter: str | None = None
    """Prompt of a chapter, with {start}, {end} and {notes}."""
    prompt_video: str | None = None
    """Prompt of a video, with {end}, {question} and {notes}."""

    @property
    def config(self) -> dict[str, Any]:
        """All that rows depend on; {} where videos are captioned as a whole."""
        if self.split == "none":
            return {}
        values = asdict(self)
        given = values.pop("segments")
        return {**values, **self.prompts(), "segments": None if given is None else str(given)}

    def prompts(self) -> dict[str, str]:
        """Return the prompts, by option."""
        from pipelines.timelines.options import read_prompt

        levels = ("segment", "chapter", "video")
        return {f"prompt_{level}": read_prompt(level, getattr(self, f"prompt_{level}")) for level in levels}

    def method(self, resolved: ResolvedJob) -> Method:
        """Return how the job goes about its videos.

        Raises:
            UserError: an option does not suit the others, or the model.
        """
        from pipelines.jobs.work import ByClip

        if self.split == "none":
            self._check_unused()
            return ByClip()
        from pipelines.timelines.chapters import check_chapter_minutes
        from pipelines.timelines.methods import InParts
        from pipelines.timelines.options import CaptionPlan, check_levels, check_prompts
        from videollm.video.cues.base import CUES

        model, info = resolved.job.model.name, resolved.model.info
        splitter = SPLITTERS.load(self.split)
        levels = tuple(level.strip() for level in self.levels.split(",") if level.strip())
        check_levels(levels)
        if (shortest := min(self.segment_seconds, self.max_seconds)) < MIN_SECONDS:
            raise UserError(
                f"--segment-seconds or --max-seconds is {shortest:g}; expected {MIN_SECONDS:g} or more, for below "
                "there are more segments than frames."
            )
        check_chapter_minutes(self.chapter_minutes)
        if splitter.needs_cuts:
            CUES.load(self.shot_cues)()  # a package that it takes may be missing
        if (self.segments is None) == splitter.needs_given:
            raise UserError(
                f"--split {self.split} and --segments {self.segments}: --segments FILE goes with --split given, and "
                "with no other. Mend one of them."
            )
        reduce = self.reduce
        if reduce == "auto":
            reduce = "extract" if model in EMBEDDED else "llm"
        prompts = {name.removeprefix("prompt_"): text for name, text in self.prompts().items()}
        if reduce == "llm":
            check_prompts(prompts)
        if model in EMBEDDED and self.prompt_segment is None:  # they know their own questions only
            prompts["segment"] = "{question}"
        most = Generation(**{**info.generation, **resolved.job.generation}).max_new_tokens
        return InParts(
            CaptionPlan(
                splitter=self.split,
                split=SplitOptions(**{f.name: getattr(self, f.name) for f in fields(SplitOptions)}),
                given=self._given(),
                levels=levels,
                chapter_minutes=self.chapter_minutes,
                reduce=reduce,
                branch=_branch(info, prompts, most) if reduce == "llm" else EXTRACTED,
                context=self.context,
                prompts=prompts,
                windows_per_span=windows_per_span(resolved.model.sampling, info.frame_size),
            )
        )

    def _check_unused(self) -> None:
        """Check that no option is given that does nothing.

        Raises:
            UserError: one is.
        """
        names = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        if names:
            raise UserError(
                f"--{names[0].replace('_', '-')} is about parts of videos, and --split is none. Name a --split, or "
                "leave it out."
            )

    def _given(self) -> GivenSegments | None:
        if self.segments is None:
            return None
        from pipelines.timelines.given_file import read_given

        return read_given(self.segments)


def _branch(info: ModelInfo, prompts: Mapping[str, str], max_new_tokens: int) -> int:
    """Return how many notes the LLM can sum up at once.

    Raises:
        UserError: not even two, or nobody knows how much it reads.
    """
    if info.context_tokens is None:
        raise UserError(
            f"{info.name} does not say how many tokens it reads, so that nobody knows how many captions it can sum up "
            "at once. Use --reduce extract."
        )
    longest = max(len(prompts["chapter"]), len(prompts["video"]))
    return branch(
        info.context_tokens,
        prompt_tokens=int(longest * TOKENS_PER_CHARACTER) + CHAT_TOKENS,
        max_new_tokens=max_new_tokens,
        caption_tokens=max_new_tokens,
    )
