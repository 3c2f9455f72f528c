"""`videollm ask`: one clip, one question, in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

from tyro.conf import Positional

from pipelines.cli.options import FrameOptions, GenerationOptions, ModelOptions
from videollm.types import Clip


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


def main(options: AskOptions) -> None:
    """Print the answer."""
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


def _show(text: str) -> None:
    print(text, end="", flush=True)
