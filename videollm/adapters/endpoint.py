"""Models behind a server that speaks OpenAI's chat completions: `openai:NAME`. Nothing is asked before a request is."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from videollm.adapters.dialect import MAY_LACK, REFUSALS, Dialect, Words
from videollm.adapters.flight import Ask, InFlight
from videollm.adapters.jpeg import CHROMA, Jpeg
from videollm.adapters.message import FORMS, NO_PICTURES, ClipOnce, Shown, write_messages
from videollm.adapters.reply import error_of, read_reply
from videollm.adapters.retry import FULL, Backoff, Gate, is_passing, seconds_asked
from videollm.adapters.transport import USUAL_KEY, Broken, EndpointError, Response, Transport, check_url, read_key
from videollm.checkpoints.adapter import Adapter, name_in
from videollm.checkpoints.options import Options
from videollm.engines.settings import check_generation
from videollm.errors import UserError
from videollm.models.answering import Answering
from videollm.models.protocol import NO_SCORES, ModelInfo, Visual, seen_by
from videollm.models.whole import VisualFrames, WholeModel
from videollm.prompts.question import NO_OCR
from videollm.types import Answer, Generation, Request
from videollm.video.preprocessing import FrameSize
from videollm.video.sampling import Sampling

PATH: Final = "chat/completions"
NUM_FRAMES: Final = 16
"""Frames of a clip, where none are asked for."""


class Endpoint(Adapter):
    """Models behind an OpenAI-compatible server."""

    uses_device: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config(Adapter.Config):
        """Where the server is, and how it is asked."""

        base_url: str | None = None
        """Address of the server, to which `/chat/completions` is added: http://localhost:8000/v1."""
        api_key_env: str = USUAL_KEY
        """Environment variable that holds the key. The usual one may be unset, for servers that need none."""
        frames_as: Literal["images", "video", "file"] = "images"
        """`images`: a JPEG for each frame, its time as text before it. `video`: all frames as one video (vLLM). `file`:
        the video itself, of which the server chooses frames."""
        jpeg_quality: int = 90
        """1 to 95."""
        jpeg_chroma: str = "4:4:4"
        """Resolution of colour: 4:4:4, 4:2:2 or 4:2:0."""
        max_side: int = 768
        """Pixels of a frame's longer side, at most."""
        max_images: int | None = None
        """Images that the server takes in a request; a request with more is an error row."""
        max_request_mb: float = 256.0
        """MB that the server takes in a request; a larger request is an error row."""
        concurrency: int = 32
        """Requests at once; halved where the server has too many (429), raised by one per 20 answers."""
        request_timeout: float = 300.0
        """Seconds for one request."""
        tries: int = 6
        """Requests in all, where connections break or the server is busy."""
        backoff_seconds: float = 1.0
        """About the first wait before a request is sent again; each is twice the one before."""

        def __post_init__(self) -> None:
            rules = {
                "frames_as": (self.frames_as in FORMS, f"one of {', '.join(FORMS)}"),
                "jpeg_quality": (1 <= self.jpeg_quality <= 95, "1 to 95"),
                "jpeg_chroma": (self.jpeg_chroma in CHROMA, f"one of {', '.join(CHROMA)}"),
                "max_side": (self.max_side >= 1, "at least 1"),
                "max_images": (self.max_images is None or self.max_images >= 1, "at least 1"),
                "max_request_mb": (self.max_request_mb > 0, "above 0"),
                "concurrency": (self.concurrency >= 1, "at least 1"),
                "request_timeout": (0 < self.request_timeout < 1e6, "above 0"),
                "tries": (self.tries >= 1, "at least 1"),
                "backoff_seconds": (self.backoff_seconds >= 0, "0 or more"),
            }
            for name, (right, expected) in rules.items():
                if not right:
                    flag = name.replace("_", "-")
                    raise ValueError(f"--{flag} is {getattr(self, name)!r}; expected {expected}.")

    @classmethod
    def describe(cls, options: Options) -> ModelInfo:
        """Check name, address, key and settings; the server is not asked."""
        config: Endpoint.Config = cls.config(options)
        if not name_in(options):
            raise UserError("--model is 'openai:', expected openai:NAME, the name by which the server knows the model.")
        if config.base_url is None:
            raise UserError(f"{options.name} needs --base-url, the server's address: http://localhost:8000/v1.")
        check_url(config.base_url)
        read_key(config.api_key_env)
        return EndpointModel(options.name, name_in(options), config).describe()

    @classmethod
    def load(cls, options: Options, folder: Path | None = None) -> EndpointModel:
        """Make the model, see `Adapter.load`; the server is not asked."""
        cls.describe(options)
        return EndpointModel(options.name, name_in(options), cls.config(options))


class EndpointModel(WholeModel):
    """A model behind a server.

    Args:
        name: how answers name the model.
        served_name: by which the server knows it.
        config: see `Endpoint.Config`; with a `base_url`.
    """

    def __init__(self, name: str, served_name: str, config: Endpoint.Config) -> None:
        assert config.base_url is not None
        self.name, self.served_name, self.config = name, served_name, config
        # Of a video that is sent whole one frame is decoded, which tells that it can be read.
        self.sampling = Sampling(num_frames=1 if config.frames_as == "file" else NUM_FRAMES)
        self.generation = Generation()
        self.frame_size = FrameSize(height=config.max_side, width=config.max_side, mode="fit")
        self._jpeg = Jpeg(quality=config.jpeg_quality, chroma=config.jpeg_chroma, max_side=config.max_side)
        self._transport = Transport(config.base_url, config.api_key_env, config.request_timeout)
        self._backoff = Backoff(tries=config.tries, first_seconds=config.backoff_seconds)
        self._gate, self._dialect = Gate(config.concurrency), Dialect()

    def describe(self, *, with_tower_key: bool = False) -> ModelInfo:
        """Describe the model, see `VideoModel.describe`."""
        return self.info(device="endpoint")

    def start(
        self, generation: Generation | None = None, *, max_requests: int | None = None
    ) -> Answering[Visual | None]:
        """Start to answer clips that join at any time, see `VideoModel.start`."""
        settings = generation or self.generation
        check_generation(settings)
        most = min(self.config.concurrency, max_requests or self.config.concurrency)
        return InFlight(partial(self._show, settings), most)

    def answer_batch(
        self,
        items: Sequence[tuple[Visual | None, Sequence[Request]]],
        generation: Generation | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Answer]]:
        """Answer the requests of several clips at once, see `VideoModel.answer_batch`.

        Raises:
            EndpointError: a request has no answer; `start` gives those of the others all the same.
        """
        under_way = self.start(generation)
        for i, (visual, requests) in enumerate(items):
            under_way.add(i, visual, requests)
        made: dict[Any, list[Answer | Exception]] = {}
        while under_way.num_clips:
            made |= {ended.key: ended.outcomes for ended in under_way.advance()}
        answers: list[list[Answer]] = [[] for _ in items]
        for i, outcomes in sorted(made.items()):
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
                answers[i].append(outcome)
        if on_text is not None:
            on_text(answers[0][0].text)
        return answers

    def _show(self, generation: Generation, visual: Visual | None) -> Ask:
        assert visual is None or isinstance(visual, VisualFrames)
        clip = None if visual is None else ClipOnce(frames=visual.frames, jpeg=self._jpeg)
        return partial(self._ask, visual, clip, generation)

    def _ask(self, visual: Visual | None, clip: ClipOnce | None, generation: Generation, request: Request) -> Answer:
        """Ask the server until it answers, or there is no use in it."""
        if request.continuations:  # servers tell of the likeliest tokens alone
            raise UserError(f"{self.name}: {NO_SCORES}")
        if request.ocr is not None:
            raise UserError(NO_OCR)
        limit = self.config.max_request_mb * 1e6
        shown = NO_PICTURES
        if seen_by(request, visual) is not None and clip is not None:
            shown = FORMS[self.config.frames_as if len(clip.frames.indices) else "images"](clip, request, limit)
        self._check_images(shown)
        messages, text = write_messages(shown, request)
        told = {"model": self.served_name, "messages": messages, **shown.body}
        max_tokens = generation.max_new_tokens if request.max_new_tokens is None else request.max_new_tokens
        response, words = self._send(told, max_tokens, _settings(generation, request))
        reply = read_reply(response)
        lacks = [name for name in MAY_LACK if name in words.lacks]
        facts = [reply.served, f"without {', '.join(lacks)}" if lacks else None]
        return Answer(
            text=reply.text.strip(),
            prompt=text,
            finish_reason=reply.finish_reason,
            num_visual_tokens=None,
            num_prompt_tokens=reply.num_prompt_tokens,
            num_generated_tokens=reply.num_generated_tokens,
            engine="; ".join(["endpoint", *(fact for fact in facts if fact)]),
            frames_sent=shown.says,
            frame_indices=shown.frame_indices,
            frame_seconds=shown.frame_seconds,
        )

    def _send(self, told: Mapping[str, Any], max_tokens: int, settings: Mapping[str, Any]) -> tuple[Response, Words]:
        """Send a request, again where that may help; return the answer and the words that led to it."""
        num_failed = 0
        while True:
            words = self._dialect.words
            body = {**told, **words.write(max_tokens, settings)}
            asked: float | None = None
            try:
                # The room at the server is free again while this one waits.
                with self._gate.passing() as halved:
                    response = self._transport.post(PATH, self._bytes(body))
                error = error_of(response)
                if error is None:
                    self._gate.answered()
                    return response, words
                if error.code in REFUSALS and self._dialect.learn(words, body, error.details):
                    continue
                if error.code == FULL:
                    self._gate.refused(halved)
                why, code, asked = error.message, error.code, seconds_asked(response.headers)
                if not is_passing(code):
                    raise EndpointError(why, code)
            except Broken as broken:
                why, code = str(broken), None
            num_failed += 1
            wait = self._backoff.wait(num_failed, asked)
            if wait is None:
                waits = f"; it asks to wait {asked:g} s" if asked else ""
                raise EndpointError(f"No answer after {num_failed} requests: {why}{waits}", code)
            time.sleep(wait)

    def _bytes(self, body: Mapping[str, Any]) -> bytes:
        made = json.dumps(body).encode()
        if len(made) > self.config.max_request_mb * 1e6:
            raise UserError(
                f"Request has {len(made) / 1e6:.1f} MB; expected at most {self.config.max_request_mb:g} "
                "(--max-request-mb). Ask for fewer or smaller frames (--num-frames, --max-side), or raise the limit."
            )
        return made

    def _check_images(self, shown: Shown) -> None:
        most = self.config.max_images
        if most is not None and shown.num_images > most:
            raise UserError(
                f"Request has {shown.num_images} images; expected at most {most} (--max-images). Ask for fewer frames "
                "(--num-frames), or raise the limit."
            )


def _settings(generation: Generation, request: Request) -> dict[str, Any]:
    """Choose what a request says of sampling; what is off is not said, as not every server knows it."""
    digest = hashlib.sha256(f"{generation.seed}/{request.id}".encode()).digest()
    said: dict[str, Any] = {"temperature": generation.temperature, "seed": int.from_bytes(digest[:4], "big") >> 1}
    said |= {"top_p": generation.top_p} if generation.top_p != 1 else {}
    said |= {"top_k": generation.top_k} if generation.top_k else {}
    said |= {"repetition_penalty": generation.repetition_penalty} if generation.repetition_penalty != 1 else {}
    said |= {"stop": list(generation.stop)} if generation.stop else {}
    return said
