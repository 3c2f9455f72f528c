"""The entry point: a clip in, its frames out. Importing this takes neither PyAV nor decord."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from videollm.errors import Status, UserError, VideoError
from videollm.io import check_file, local_path, quick_hash
from videollm.types import Clip, FrameBatch
from videollm.video.decoding.base import DECODERS, Decoder, DecodeRequest
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling, check_range


def decode(
    clip: Clip | str | Path,
    sampling: Sampling | None = None,
    *,
    size: FrameSize | None = None,
    decoder: str = "auto",
    allow_partial: bool = False,
    threads: int = 1,
) -> FrameBatch:
    """Decode exactly the frames that a sampling policy chooses of a clip.

    Display rotation is applied. The work and the memory are bounded by the frames asked for, not by the video.

    Args:
        clip: a video file, gif, image, folder of images or URL (`videollm.io` knows the schemes), or a range of it.
        sampling: which frames; None is 8 by VideoLLaMA2's rule.
        size: size of the frames after rotation; None keeps the video's.
        decoder: as for `DECODERS.load`. `auto` is exact and falls back to slower ways where a file needs them.
        allow_partial: return the healthy frames of a damaged video, the others listed in `missing`.
        threads: CPU threads; 1 is best for many videos at once, more for a single one.
    Raises:
        VideoError: the video cannot be read as asked; `status` says why.
        UserError: unknown decoder, or threads below 1.
    """
    if threads < 1:
        raise UserError(f"threads is {threads}; expected 1 or more.")
    backend = load_decoder(decoder)
    clip = clip if isinstance(clip, Clip) else Clip(video=str(clip))
    check_range(clip.start, clip.end)
    with local_path(clip.video) as path:
        check_file(path)
        from videollm.video.decoding import images  # Pillow is loaded by those who need it

        request = DecodeRequest(
            path=path,
            clip=clip,
            sampling=Sampling() if sampling is None else sampling,
            size=size,
            threads=threads,
            allow_partial=allow_partial,
        )
        if images.is_image(path):
            batch = images.ImageDecoder().decode(request)
        else:
            batch = backend.decode(request)
            batch = replace(batch, decoder=batch.decoder or decoder)
        return replace(batch, video_hash=quick_hash(Path(path)) if Path(path).is_file() else None)


def load_decoder(decoder: str) -> Decoder:
    """Load a decoder by its name.

    Raises:
        UserError: there is no such decoder.
        VideoError: `missing_dependency`: it needs a package that is not installed.
    """
    try:
        return DECODERS.load(decoder)()
    except ImportError as error:
        raise VideoError(
            Status.MISSING_DEPENDENCY,
            f"The decoder {decoder} needs a package that is missing ({error}); pip install av, or decode elsewhere: "
            "models answer on a FrameBatch as well.",
        ) from error
