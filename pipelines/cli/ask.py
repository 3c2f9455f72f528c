"""`videollm ask`: one clip, one question, in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

from tyro.conf import Positional

from pipelines.cli.options import FrameOptions, GenerationOptions, ModelOptions
from pipelines.cli.strategy_options import StrategyOptions
from pipelines.requests.discover import absolute
from videollm.errors import VideollmError
from videollm.types import Clip, Request


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """Ask one question about one video; the answer is printed while it is generated."""

    video: Positional[str]
    """Path or URL of a video, or a folder of images."""
    question: Positional[str]
    """Question."""
    start: float | None = None
    """Seconds from the start of the video."""
    end: float | None = None
    """Seconds, exclusive."""
    ocr: str | None = None
    """Text in the picture as a reader of text found it (`STOP, Main St`), for models that take it (Mini-Gemini)."""
    model: ModelOptions = field(default_factory=ModelOptions)
    frames: FrameOptions = field(default_factory=FrameOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    search: StrategyOptions = field(default_factory=StrategyOptions)


def main(options: AskOptions) -> None:
    """Print the answer; with a strategy, where in the video its evidence lies."""
    if options.search.strategy != "none":
        _search(options)
        return
    from pipelines.jobs.resolve import check_ocr, resolve
    from videollm.checkpoints import load_with
    from videollm.video.sampling import Sampling

    resolved = resolve(options.model.load_options(), options.frames.choice())
    check_ocr(resolved.info, [options.ocr])
    model = load_with(resolved.options)
    if model.notice:
        print(model.notice, file=sys.stderr)
    batch = model.decode(
        Clip(video=options.video, start=options.start, end=options.end),
        sampling=Sampling.from_dict(resolved.sampling),
        decoder=options.frames.decoder,
        allow_partial=options.frames.allow_partial,
    )
    generation = replace(model.generation, **options.generation.given())
    if sys.stdout.isatty():
        model.answer(batch, options.question, generation=generation, ocr=options.ocr, on_text=_show)
        print()
    else:
        print(model.answer(batch, options.question, generation=generation, ocr=options.ocr).text)


def _search(options: AskOptions) -> None:
    from pipelines.timelines.ask import search, show

    clip = Clip(video=absolute(options.video), start=options.start, end=options.end)
    row = search(
        Request(id="answer", clip=clip, question=options.question, ocr=options.ocr),
        model=options.model.load_options(),
        frames=options.frames.choice(),
        generation=options.generation.given(),
        method=options.search.method,
    )
    if row["error"] is not None:
        raise VideollmError(row["status"], row["error"])
    print(show(row))


def _show(text: str) -> None:
    print(text, end="", flush=True)
