"""A model's own processor, given frames that are ours: what it is told of them, and the prompt that it writes.

SHAPES  t frames, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from videollm.checkpoints import FAMILIES
from videollm.errors import UserError
from videollm.prompts.question import NO_OCR, format_question
from videollm.prompts.subtitles import with_subtitles
from videollm.types import FrameBatch, Request
from videollm.video.preprocessing import FrameSize

if TYPE_CHECKING:
    from transformers import ProcessorMixin

BREAK: Final = "\u200b"
"""Written into names of control tokens that a question holds: an invisible space, after their first character."""
OWN_SIZE: Final = FrameSize(height=1, width=1, mode="budget", exact=True, filter="torch")
"""Frames as large as they are, their colours those that published models were made with; processors scale them."""
KINDS: Final = ("image", "video", "audio")


def check_torchvision(engine: str) -> None:
    """Check, without importing it, that the package which all video processors need is there.

    Args:
        engine: what needs them.
    Raises:
        UserError: it is not installed.
    """
    if find_spec("torchvision") is None:
        raise UserError(
            f"Engine {engine} needs the package torchvision, which is not installed: the processors of transformers "
            "do. Install the extra (pip install 'videollm[peers]'), or use --engine builtin, which needs none and runs "
            f"the families {', '.join(FAMILIES)}."
        )


def load_processor(folder: Path, engine: str) -> ProcessorMixin:
    """Load the processor of a model folder; code that lies in the folder is not run.

    Raises:
        UserError: there is none, or it needs a package that is missing.
    """
    check_torchvision(engine)
    from transformers import AutoProcessor, ProcessorMixin

    try:
        made = AutoProcessor.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"The processor of {folder} does not load: {_line(error)}. Use --engine builtin.") from error
    if not isinstance(made, ProcessorMixin) or getattr(made, "tokenizer", None) is None:
        raise UserError(
            f"{folder} brings a {type(made).__name__} and no processor of texts with videos or images; expected "
            "preprocessor_config.json and what belongs to it. Use --engine builtin."
        )
    return made


def takes_videos(processor: ProcessorMixin) -> bool:
    """Tell whether a processor has an entry for videos; frames are images to others."""
    has_token = getattr(processor, "video_token", None) is not None
    return has_token and getattr(processor, "video_processor", None) is not None


def metadata(batch: FrameBatch) -> dict[str, Any]:
    """Tell what transformers and vLLM want to know of frames: where they lie in the video, and its rate.

    Indices count from the first frame of the whole video; the number of frames is that of the part of it.
    """
    t, height, width = batch.frames.shape[:3]
    fps = batch.fps or (1.0 if t < 2 else (t - 1) / max(batch.seconds[-1] - batch.seconds[0], 1e-6))
    total = batch.num_in_range or batch.indices[-1] + 1
    return {
        "total_num_frames": total,
        "fps": fps,
        "frames_indices": list(batch.indices),
        "height": height,
        "width": width,
        "duration": total / fps,
        "video_backend": None,
    }


def control_tokens(processor: ProcessorMixin) -> frozenset[str]:
    """List the texts that a processor or its tokenizer reads as tokens of their own; spaces are not among them."""
    added = [token.content for token in processor.tokenizer.added_tokens_decoder.values()]
    named = [getattr(processor, f"{kind}_token", None) for kind in KINDS]
    return frozenset(t for t in [*added, *named] if t and len(t) > 1 and not t.isspace())


def literal(text: str, tokens: Set[str]) -> str:
    """Break the names of control tokens in a text, so that they are read as text."""
    if not tokens:
        return text
    names = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))
    while names.search(text):  # a name may overlap with another one
        text = names.sub(lambda found: found[0][0] + BREAK + found[0][1:], text)
    return text


def write_prompt(
    processor: ProcessorMixin,
    request: Request,
    batch: FrameBatch | None,
    *,
    tokens: Set[str],
    num_images: int | None = None,
) -> tuple[str, str | None]:
    """Write the prompt of a request by the processor's chat template, with its own entries for the frames.

    Args:
        processor: that of the model.
        request: what is asked.
        batch: the frames; None where the request is about text alone.
        tokens: the control tokens.
        num_images: entries for images; None is one entry for a video.
    Returns:
        The prompt, and what was changed in the user's text for it.
    Raises:
        UserError: no chat template, or one that does not take the messages; text found in pictures.
    """
    from jinja2 import TemplateError

    if request.ocr:
        raise UserError(NO_OCR)
    seconds = () if batch is None else batch.seconds
    asked = with_subtitles(format_question(request.question, request.options), request.subtitles, seconds)
    text, system = literal(asked, tokens), literal(request.system or "", tokens)
    changed = text != asked or system != (request.system or "")
    frames: list[dict[str, str]] = []
    if batch is not None:
        frames = [{"type": "video"}] if num_images is None else [{"type": "image"}] * num_images
    try:
        prompt = _render(processor, frames, text, system)
    except (TemplateError, ValueError, TypeError) as error:
        raise UserError(f"The chat template of the {type(processor).__name__} fails: {_line(error)}.") from error
    return prompt, f"control tokens in the question are broken by U+{ord(BREAK):04X}" if changed else None


def process(
    processor: ProcessorMixin, prompt: str, batch: FrameBatch | None, *, as_images: bool, **settings: Any
) -> Any:
    """Make a model's inputs of a prompt and its frames, all of which are taken as they are.

    Args:
        processor: that of the model.
        prompt: made by `write_prompt`.
        batch: the frames; None where there are none.
        as_images: give one image a frame.
        settings: of the processor's call.
    Raises:
        UserError: the processor refuses the frames, or the prompt.
    """
    from PIL import Image
    from transformers.video_utils import VideoMetadata

    begin = processor.tokenizer.bos_token
    if begin and prompt.startswith(begin):
        settings = {"add_special_tokens": False, **settings}
    shown: dict[str, Any] = {}
    if batch is None:
        pass
    elif as_images:
        shown = {"images": [Image.fromarray(frame) for frame in batch.frames]}
    else:
        known = VideoMetadata(**metadata(batch))
        shown = {"videos": [batch.frames], "video_metadata": [known], "do_sample_frames": False}
    try:
        return processor(text=[prompt], return_tensors="pt", **shown, **settings)
    except (ValueError, IndexError, TypeError) as error:
        size = "" if batch is None else f" with the clip (t h w: {'x'.join(map(str, batch.frames.shape[:3]))})"
        raise UserError(f"The {type(processor).__name__} refuses the prompt{size}: {_line(error)}.") from error


def shown_prompt(tokenizer: Any, ids: Sequence[int], visual: Set[int]) -> str:
    """Write the ids of a prompt as text, `<video>` in the place of each run of visual tokens."""
    pieces: list[str] = []
    text: list[int] = []
    for i, token in enumerate(ids):
        if token not in visual:
            text.append(token)
        elif i == 0 or ids[i - 1] not in visual:
            pieces += [tokenizer.decode(text), "<video>"]
            text = []
    return "".join([*pieces, tokenizer.decode(text)])


def visual_ids(processor: ProcessorMixin, config: Any) -> frozenset[int]:
    """List the ids that stand for visual tokens.

    Those of the entries for a picture or a video are among them: vLLM repeats that of a video where the processor of
    InternVL repeats that of an image. Features take the place of either.
    """
    places: list[Mapping[str, Any] | Any] = [processor, config]
    names = [f"{kind}_{last}" for kind in KINDS[:2] for last in ("token_id", "token_index")]
    found = {getattr(place, name, None) for place in places for name in names}
    vocabulary = processor.tokenizer.get_vocab()
    found |= {vocabulary.get(getattr(processor, f"{kind}_token", None)) for kind in KINDS[:2]}
    return frozenset(int(i) for i in found if isinstance(i, int))


def _render(processor: ProcessorMixin, frames: Sequence[Mapping[str, str]], text: str, system: str) -> str:
    from jinja2 import TemplateError

    def user(words: str) -> dict[str, Any]:
        return {"role": "user", "content": [*frames, {"type": "text", "text": words}]}

    def render(messages: list[dict[str, Any]]) -> str:
        made = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        assert isinstance(made, str)
        return made

    if not system:
        return render([user(text)])
    try:
        return render([{"role": "system", "content": [{"type": "text", "text": system}]}, user(text)])
    except TemplateError:  # raised by templates without a system role
        return render([user(f"{system}\n\n{text}")])


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
