"""Decoding on a GPU's own video engine (NVDEC), by torchcodec: off by default, the extra `nvdec`.

1. Our index and our sampling choose the frames, as everywhere else.
2. torchcodec decodes them by their number, and its times are held against the index: every frame must be the one asked
   for.
3. They are scaled on the GPU, a few at a time, and handed on in host memory, where frames are numpy arrays.

A file that this cannot do exactly (a codec or pixel format that the GPU lacks, rotation, times that disagree, damage)
is decoded by `auto`, with a warning; `FrameBatch.decoder` says which one it was. Pixels differ from the CPU's, which
converts colours and scales in another way.

SHAPES  u distinct frames, h w pixels, c colour channels (RGB).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from videollm.errors import Status, UserError, VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.auto import AutoDecoder
from videollm.video.decoding.base import Decoder, DecodeRequest, choose, lay_out
from videollm.video.decoding.container import open_video
from videollm.video.decoding.index import Index, UnplannableError, read_index
from videollm.video.preprocessing.frame_size import resize_frame, target_size

LOGGER: Final = logging.getLogger(__name__)
FRAMES_AT_ONCE: Final = 8
"""Full-size frames that are held on the GPU."""


class NotOnGpuError(Exception):
    """The GPU cannot give exactly the frames asked for; the message says why."""


class NvdecDecoder(Decoder):
    """Decodes on the GPU what it can decode exactly, and the rest as `auto` does."""

    on_gpu: ClassVar[bool] = True
    device: ClassVar[str] = "cuda"
    """Where torchcodec decodes."""

    @classmethod
    def check(cls) -> None:
        """Check for torchcodec and a GPU."""
        try:
            import torchcodec.decoders  # noqa: F401
        except ImportError as error:
            raise UserError(
                f"--decoder nvdec needs torchcodec ({error}); pip install 'videollm[nvdec]', or take the decoder auto."
            ) from error
        except RuntimeError as error:  # what it raises where FFmpeg's libraries or torch's do not fit
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"--decoder nvdec: torchcodec cannot be loaded ({first}). It needs FFmpeg's shared libraries and the "
                "build for this torch; install them, or take the decoder auto."
            ) from error
        import torch

        if cls.device == "cuda" and not torch.cuda.is_available():
            raise UserError("--decoder nvdec needs a GPU, and torch sees none on this machine; take the decoder auto.")

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode exactly the frames asked for.

        Raises:
            VideoError: `missing_dependency`: no torchcodec or GPU. Else as `decode.decode`.
        """
        try:
            self.check()
        except UserError as error:
            raise VideoError(Status.MISSING_DEPENDENCY, str(error)) from None
        try:
            return self._decode(request)
        except (NotOnGpuError, UnplannableError) as error:
            LOGGER.warning("%s: not decoded by nvdec (%s), but by auto.", request.clip.video, error)
            return AutoDecoder().decode(request)

    def _decode(self, request: DecodeRequest) -> FrameBatch:
        with open_video(request.path) as (container, stream):
            # Where times were only predicted, and may be wrong, they are read from the packets.
            index = read_index(container, stream, exact_times=True)
            timeline, number = index.timeline(stream), stream.index
            scale = float(stream.time_base or 0)
        if index.damage:
            raise NotOnGpuError(index.damage)
        asked, request = choose(request, timeline)
        distinct = sorted(set(asked.indices))
        parts = [_scale(request, part) for part in self._decoded(request.path, number, index, distinct, scale)]
        seconds = {i: (int(index.ticks[i]) - int(index.ticks[0])) * scale for i in distinct}
        return lay_out(request, asked, np.concatenate(parts), seconds, None)

    def _decoded(self, path: str, stream: int, index: Index, distinct: list[int], scale: float) -> Iterator[Any]:
        """Decode frames, a few at a time: (u c h w) tensors on the device.

        Args:
            path: of the file.
            stream: number of the video stream.
            index: of the file.
            distinct: ascending display indices.
            scale: seconds of a tick.
        Raises:
            NotOnGpuError: torchcodec fails, counts or times the frames in another way, or would decode on the CPU.
        """
        from torchcodec.decoders import VideoDecoder

        try:
            decoder: Any = VideoDecoder(path, stream_index=stream, device=self.device)
            _check_file(decoder, index)
            for row in range(0, len(distinct), FRAMES_AT_ONCE):
                indices = distinct[row : row + FRAMES_AT_ONCE]
                batch = decoder.get_frames_at(indices)
                _check_fallback(decoder)  # some backends know only after a frame
                _check_times(batch.pts_seconds.tolist(), [int(index.ticks[i]) * scale for i in indices], scale)
                yield batch.data
        except (RuntimeError, ValueError, IndexError) as error:  # what torchcodec raises for anything it cannot do
            raise NotOnGpuError((str(error).strip() or repr(error)).splitlines()[0]) from error


def _check_fallback(decoder: Any) -> None:
    if decoder.cpu_fallback:
        raise NotOnGpuError(str(decoder.cpu_fallback))


def _check_file(decoder: Any, index: Index) -> None:
    _check_fallback(decoder)
    if decoder.metadata.rotation:
        raise NotOnGpuError("it is displayed turned")
    if len(decoder) != index.num_frames:
        raise NotOnGpuError(f"torchcodec counts {len(decoder)} frames where {index.num_frames} are displayed")


def _check_times(found: list[float], expected: list[float], tick: float) -> None:
    """Check that frames are those asked for; predicted ticks may be off by one for rounding."""
    for a, b in zip(found, expected, strict=True):
        if abs(a - b) > 1.5 * tick:
            raise NotOnGpuError(f"torchcodec gives the frame at {a:g} s where that at {b:g} s is asked for")


def _scale(request: DecodeRequest, frames: Any) -> NDArray[np.uint8]:
    """Scale (u c h w) uint8 on its device to (u h w c) on the host, bicubic with antialiasing; `exact` on the host."""
    from torch.nn.functional import interpolate

    size, (height, width) = request.size, frames.shape[-2:]
    target = target_size(size, height, width)
    if size is not None and size.exact:
        whole = frames.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return np.stack([resize_frame(frame, *target, size.filter) for frame in whole])
    if target != (height, width):
        made = interpolate(frames.float(), size=target, mode="bicubic", antialias=True, align_corners=False)
        frames = made.round_().clamp_(0, 255).byte()
    scaled: NDArray[np.uint8] = frames.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return scaled
