"""A decoder that cannot take its owner down: a persistent child process with deadlines and reasons of failures."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.stages.decoding import wire
from pipelines.stages.scratch import Scratch, private_folder
from videollm.errors import Status
from videollm.types import Clip, FrameBatch

if TYPE_CHECKING:
    from videollm.video.surveys import Survey

START_SECONDS: Final = 120.0
"""A child that is not ready after this time is given up."""
CLIPS_PER_CHILD: Final = 250
"""Clips after which the child is replaced: what libraries leak over 100,000 videos cannot add up."""
SURVEY_PATIENCE: Final = 60
"""Deadlines of a clip that a pass over all frames of a video may take: two hours, by default."""
_ROOT: Final = str(Path(__file__).resolve().parents[3])


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The reason why a clip has no frames."""

    status: Status
    """`timeout`, `decoder_died`, `internal_error`, or the status of a VideoError (`not_found`, `decode_error`, ...)."""
    error: str
    trace: str | None = None
    """Of a bug."""


def _read_frames(reply: wire.Header, body: bytearray) -> tuple[FrameBatch, float] | Failure:
    """Read the frames of a clip, and the seconds that they took."""
    if reply["status"] != "ok":
        return Failure(status=Status(reply["status"]), error=reply["error"], trace=reply.get("trace"))
    batch = FrameBatch(
        frames=np.frombuffer(body, np.uint8).reshape(reply["shape"]),
        indices=tuple(reply["indices"]),
        seconds=tuple(reply["seconds"]),
        missing=tuple(reply["missing"]),
        model_seconds=tuple(reply["model_seconds"]),
        packing=reply["packing"],
        fps=reply["fps"],
        num_in_range=reply["num_in_range"],
        video_hash=reply["video_hash"],
        decoder=reply["decoder"],
    )
    return batch, reply["decode_seconds"]


class Decoder:
    """Decodes in a child process, which is started again whenever it had to be killed or died.

    Call it from the thread that made it: the kernel ties the child's life to that thread.
    """

    def __init__(self, *, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._scratch: Scratch | None = None
        """Temporary folder of the child: what a killed one leaves is cleared with it."""
        self._num_asked = 0

    @property
    def pid(self) -> int | None:
        """Process id of the child, if one runs."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the child ahead of the first clip; a failure is reported with that clip."""
        with suppress(OSError, EOFError, TimeoutError):
            self._running()

    def decode(
        self,
        clip: Clip,
        sampling: Mapping[str, Any],
        size: Mapping[str, Any] | None,
        *,
        decoder: str = "auto",
        allow_partial: bool = False,
    ) -> tuple[FrameBatch, float] | Failure:
        """Decode a clip: return its frames and the seconds taken, or the failure.

        Args:
            sampling: fields of videollm.Sampling.
            size: fields of videollm.FrameSize; None is full size.
            decoder: a name in DECODERS.
            allow_partial: keep the healthy frames of a damaged video.
        """
        reply, body = self._ask(
            {
                "do": "decode",
                "clip": asdict(clip),
                "sampling": sampling,
                "size": size,
                "decoder": decoder,
                "allow_partial": allow_partial,
            }
        )
        return _read_frames(reply, body)

    def decode_windows(
        self,
        clips: Sequence[Clip],
        sampling: Mapping[str, Any],
        size: Mapping[str, Any] | None,
        *,
        decoder: str = "auto",
        allow_partial: bool = False,
    ) -> list[tuple[FrameBatch, float] | Failure]:
        """Decode windows of one video in one pass, see `decode`; each has the deadline of a clip.

        Windows have a start and an end, and are of the same video otherwise.
        A window that hangs or ends the child is charged, and the others go on behind it.
        """
        made: dict[int, tuple[FrameBatch, float] | Failure] = {}
        died: int | None = None
        while left := [i for i in range(len(clips)) if i not in made]:
            request = {
                "do": "decode_windows",
                "clips": [asdict(clips[i]) for i in left],
                "sampling": sampling,
                "size": size,
                "decoder": decoder,
                "allow_partial": allow_partial,
            }
            try:
                for reply, body in self._stream(request, len(left)):
                    made[left[reply["window"]]] = _read_frames(reply, body)
            except TimeoutError:
                made[self._first(left, made)] = Failure(status=Status.TIMEOUT, error=self._too_slow())
            except (EOFError, BrokenPipeError):
                how, first = self._wait(), self._first(left, made)
                if died == first:
                    made[first] = Failure(status=Status.DECODER_DIED, error=f"decoder died, {how}")
                died = first
            else:
                continue
            self.close()
        return [made[i] for i in range(len(clips))]

    def survey(self, clip: Clip, cues: str) -> Survey | Failure:
        """Find out what is to be known of a video before it is split; a pass over all its frames has more time.

        Args:
            clip: the video; its range is not looked at.
            cues: a name in CUES; "" for none.
        """
        request = {"do": "survey", "clip": asdict(clip), "cues": cues}
        reply, _ = self._ask(request, patience=SURVEY_PATIENCE if cues else 1)
        if reply["status"] != "ok":
            return Failure(status=Status(reply["status"]), error=reply["error"], trace=reply.get("trace"))
        from videollm.video.surveys import Survey

        return Survey.from_dict(reply["survey"])

    def probe(self, video: str) -> dict[str, Any] | Failure:
        """Probe a video: return the fields of videollm.VideoInfo, or the failure."""
        reply, _ = self._ask({"do": "probe", "video": video})
        info: dict[str, Any] = reply.get("info", {})
        return info if reply["status"] == "ok" else Failure(status=Status(reply["status"]), error=reply["error"])

    def digest(self, video: str) -> str | None:
        """Digest a video's content; None where there is no digest, or an error that decoding will report."""
        reply, _ = self._ask({"do": "digest", "video": video})
        digest: str | None = reply.get("digest")
        return digest

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._wait()
            self._child, self._num_asked = None, 0
            if self._scratch is not None:
                self._scratch.release()

    @staticmethod
    def _first(left: Sequence[int], made: Mapping[int, Any]) -> int:
        """Name the window that a child was at: the first one that it gave no frames of."""
        return next(i for i in left if i not in made)

    def _too_slow(self) -> str:
        return f"timeout after {self.timeout_seconds:.1f}s"

    def _ask(self, request: wire.Header, *, patience: float = 1) -> tuple[wire.Header, bytearray]:
        """Ask the child; restart a dead child and ask once more, as an earlier video may have harmed the child."""
        for last in (False, True):
            try:
                (answer,) = self._stream(request, 1, patience=patience)
                return answer
            except TimeoutError:
                self.close()
                return {"status": "timeout", "error": self._too_slow()}, bytearray()
            except (EOFError, BrokenPipeError):
                how = self._wait()
                self.close()
                if last:
                    return {"status": "decoder_died", "error": f"decoder died, {how}"}, bytearray()
        raise AssertionError("unreachable")

    def _stream(
        self, request: wire.Header, num_replies: int, *, patience: float = 1
    ) -> Iterator[tuple[wire.Header, bytearray]]:
        """Ask the child, and yield its replies, each with a deadline of its own."""
        if self._num_asked >= CLIPS_PER_CHILD:
            self.close()
        child = self._running()
        assert child.stdin is not None
        assert child.stdout is not None
        self._num_asked += num_replies
        wire.write(child.stdin.fileno(), request)
        for _ in range(num_replies):
            yield wire.read(child.stdout.fileno(), deadline=time.monotonic() + patience * self.timeout_seconds)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._scratch = private_folder()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "pipelines.stages.decoding.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=_ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, sys.path)]),
                    "TMPDIR": str(self._scratch.path),
                },
                bufsize=0,
            )
            assert self._child.stdout is not None
            wire.read(self._child.stdout.fileno(), deadline=time.monotonic() + START_SECONDS)
        return self._child

    def _wait(self) -> str:
        """Wait for the child's end, and describe it."""
        assert self._child is not None
        try:
            code = self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:  # closed its pipe, or sleeps in the kernel; it is left to die
            self._child.kill()
            return "no exit code"
        return f"signal {-code}" if code < 0 else f"exit code {code}"
