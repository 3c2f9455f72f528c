"""The default decoder: the fastest way that is exact, and slower ones where a file needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from videollm.errors import Status, VideoError
from videollm.types import FrameBatch
from videollm.video.decoding.base import Decoder, DecodeRequest
from videollm.video.decoding.decord_backend import DecordDecoder
from videollm.video.decoding.index import UnplannableError
from videollm.video.decoding.planned import PlannedDecoder
from videollm.video.decoding.sequential import SequentialDecoder

FALLBACKS: Final[dict[Status, tuple[str, type[Decoder]]]] = {
    Status.DECODE_ERROR: ("pyav", SequentialDecoder),
    Status.NO_VIDEO: ("decord", DecordDecoder),
}
"""Name and class of what is tried where planning fails, by how it fails."""


class AutoDecoder(Decoder):
    """Plans; counts frames where there is no plan or it fails; asks decord where FFmpeg cannot open the file."""

    def decode(self, request: DecodeRequest) -> FrameBatch:
        """Decode in the first way that succeeds.

        Raises:
            VideoError: all ways fail; the message is that of the first one.
        """
        try:
            return replace(PlannedDecoder().decode(request), decoder="planned")
        except UnplannableError:
            return replace(SequentialDecoder().decode(request), decoder="pyav")
        except VideoError as error:
            if error.status not in FALLBACKS:
                raise
            name, fallback = FALLBACKS[error.status]
            try:
                return replace(fallback().decode(request), decoder=name)
            except VideoError:
                raise error from None

    def decode_windows(self, requests: Mapping[int, DecodeRequest]) -> Iterator[tuple[int, FrameBatch | VideoError]]:
        """Decode many parts of one file, each as `decode` does: those that one way fails at in one pass of the next."""
        left, errors = dict(requests), dict[int, VideoError]()
        try:
            for number, result in PlannedDecoder().decode_windows(requests):
                if isinstance(result, VideoError) and result.status in FALLBACKS:
                    errors[number] = result
                else:
                    del left[number]
                    yield number, _named(result, "planned")
        except UnplannableError:
            pass  # what the next way says stands
        except VideoError as error:
            errors = {**dict.fromkeys(left, error), **errors}
        for status, (name, fallback) in FALLBACKS.items():
            rest = {
                n: r for n, r in left.items() if (errors[n].status if n in errors else Status.DECODE_ERROR) == status
            }
            left = {n: r for n, r in left.items() if n not in rest}
            try:
                for number, result in fallback().decode_windows(dict(rest)):
                    del rest[number]
                    yield number, errors.get(number, result) if isinstance(result, VideoError) else _named(result, name)
            except VideoError as error:
                errors = {**dict.fromkeys(rest, error), **errors}
                left |= rest
        for number in left:
            yield number, errors[number]


def _named(result: FrameBatch | VideoError, decoder: str) -> FrameBatch | VideoError:
    return result if isinstance(result, VideoError) else replace(result, decoder=decoder)
