"""Models behind a server: a real one on loopback, which fails in every way that servers do."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import videollm
from tests.support import clips
from tests.support.openai_server import Body, OpenAIServer, Say, question_of, refusal
from videollm.adapters.endpoint import EndpointModel
from videollm.adapters.retry import Backoff, Gate, seconds_asked
from videollm.errors import UserError
from videollm.models.answering import Answered
from videollm.types import Answer, Clip, Cue, FrameBatch, Generation, Request, Subtitles
from videollm.video.sampling import Sampling

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write(tmp_path_factory.mktemp("clips") / "clip.mp4", 60)


def load(server: OpenAIServer, name: str = "openai:tiny", **config: Any) -> EndpointModel:
    settings = {"base_url": server.url, "backoff_seconds": 0.01, "request_timeout": 20.0, **config}
    model = videollm.load(name, engine_config=settings)
    assert isinstance(model, EndpointModel)
    return model


def ask_all(model: EndpointModel, questions: Sequence[str], **options: Any) -> dict[str, Answer | Exception]:
    """All questions at once, one clip each, through `start`."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    frames = FrameBatch(frames=noise, indices=(0, 5), seconds=(0.0, 0.5))
    under_way = model.start(**options)
    for question in questions:
        requests = [Request(id=question, clip=Clip(video=""), question=question)]
        under_way.add(question, model.encode([frames])[0], requests)
    ended: list[Answered] = []
    while under_way.num_clips:
        ended += under_way.advance()
    assert len(ended) == len(questions)
    return {str(e.key): e.outcomes[0] for e in ended}


def test_frames_go_as_pictures_with_their_times(video: Path) -> None:
    with OpenAIServer(lambda body, before: Say(text=" A car.\n")) as server:
        model = load(server)
        batch = model.decode(video, sampling=Sampling(num_frames=4))
        answer = model.answer(batch, "What is it?")
    body = server.bodies[0]
    content = body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"] * 4 + ["text"]
    assert [part["text"] for part in content[:-1:2]] == [f"<{s:.1f} seconds>" for s in batch.seconds]
    pictures = [part["image_url"]["url"].removeprefix("data:image/jpeg;base64,") for part in content[1:-1:2]]
    decoded = [Image.open(io.BytesIO(base64.b64decode(p))) for p in pictures]
    assert clips.numbers(np.stack([np.asarray(p.convert("RGB")) for p in decoded])) == list(batch.indices)
    assert [p.layer[0][1:3] for p in decoded] == [(1, 1)] * 4  # no component is coarser: 4:4:4
    assert content[-1]["text"] == "What is it?"
    assert body["model"] == "tiny"
    assert body["max_tokens"] == 256
    assert body["temperature"] == 0
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert answer.text == "A car."
    assert answer.prompt.startswith("<0.2 seconds><video>")
    assert answer.prompt.endswith("\nWhat is it?")
    assert (answer.num_prompt_tokens, answer.num_generated_tokens, answer.num_visual_tokens) == (109, 3, None)
    assert answer.engine == "endpoint; model tiny-2026-01-01, fingerprint fp_1"
    assert answer.frames_sent == "4 images, JPEG quality 90, 4:4:4, 192 x 96"
    assert answer.frame_indices == batch.indices


def test_large_frames_are_scaled_by_the_decoder(tmp_path: Path) -> None:
    tall = clips.write(tmp_path / "tall.mp4", 10, size=(1000, 600))
    with OpenAIServer(lambda body, before: Say()) as server:
        model = load(server, jpeg_quality=50, jpeg_chroma="4:2:0")
        batch = model.decode(tall)
        assert batch.frames.shape[1:3] == (768, 461)
        assert "JPEG quality 50, 4:2:0, 461 x 768" in str(model.answer(batch, "?").frames_sent)


def test_frames_as_one_video(video: Path) -> None:
    with OpenAIServer(lambda body, before: Say()) as server:
        model = load(server, frames_as="video")
        batch = model.decode(Clip(video=str(video), start=1.0), sampling=Sampling(num_frames=4))
        answer = model.answer(batch, "What is it?")
    body = server.bodies[0]
    part, _ = body["messages"][0]["content"]
    kind, _, data = part["video_url"]["url"].partition(",")
    assert kind == "data:video/jpeg;base64"
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(p)))) for p in data.split(",")]
    assert clips.numbers(np.stack(pictures)) == list(batch.indices)
    told = body["media_io_kwargs"]["video"]
    assert told == {"num_frames": -1, "fps": 30.0, "frames_indices": list(batch.indices),
                    "total_num_frames": batch.indices[-1] + 1, "duration": (batch.indices[-1] + 1) / 30}  # fmt: skip
    assert body["mm_processor_kwargs"] == {"do_sample_frames": False}
    assert answer.prompt == "<video>\nWhat is it?"


def test_the_file_itself(video: Path) -> None:
    with OpenAIServer(lambda body, before: Say()) as server:
        model = load(server, frames_as="file")
        answers = [model.answer(place, "?") for place in (video, f"file://{video}")]
        urls = [body["messages"][0]["content"][0]["video_url"]["url"] for body in server.bodies]
        assert base64.b64decode(urls[0].removeprefix("data:video/mp4;base64,")) == video.read_bytes()
        assert urls[1] == f"file://{video}"
        assert [a.frames_sent for a in answers] == [f"the file, {video.stat().st_size} bytes", "the file by its URL"]
        assert answers[0].frame_indices == ()  # the server chose them
        with pytest.raises(UserError, match=r"only a part is asked about \(0.5 to None s\)"):
            model.answer(Clip(video=str(video), start=0.5), "?")
        with pytest.raises(UserError, match=r"larger than a request may be \(0.001 MB, --max-request-mb"):
            load(server, frames_as="file", max_request_mb=0.001).answer(video, "?")
    assert len(server.bodies) == 2


def test_what_else_a_request_says() -> None:
    with OpenAIServer(lambda body, before: Say()) as server:
        model = load(server)
        frames = FrameBatch(frames=np.zeros((1, 8, 8, 3), np.uint8), indices=(3,), seconds=(1.5,))
        heard = Subtitles(cues=(Cue(start=1, end=2, text="Hello."), Cue(start=5, end=6, text="Bye.")))
        request = Request(id="a", clip=Clip(video=""), question="Which?", options=("red", "blue"), system="Be brief.",
                          subtitles=heard, max_new_tokens=7)  # fmt: skip
        settings = Generation(temperature=0.5, top_p=0.9, stop=("\n",), seed=3)
        model.answer_batch([(model.encode([frames])[0], [request])], settings)
        model.answer_batch([(model.encode([frames])[0], [request])], settings)
    body = server.bodies[0]
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert question_of(body).splitlines()[1:4] == ["Hello.", "Which?", "(A) red"]
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop"]) == (7, 0.5, 0.9, ["\n"])
    assert body["seed"] == server.bodies[1]["seed"] >= 0
    assert "top_k" not in body


FAULTS: dict[str, Callable[[int], Say]] = {
    "fine": lambda before: Say(),
    "busy": lambda before: Say(code=429, body={}) if before < 2 else Say(),
    "busy, says when": lambda before: Say(code=429, headers={"Retry-After": "0.3"}) if before == 0 else Say(),
    "broken once": lambda before: Say(code=500, body=b"oops") if before == 0 else Say(),
    "slow": lambda before: Say(after_seconds=0.5),
    "cut once": lambda before: Say(cut=40) if before == 0 else Say(),
    "dropped once": lambda before: Say(drop=True) if before == 0 else Say(),
    "filtered": lambda before: Say(text=None, finish_reason="content_filter"),
    "too long": lambda before: Say(text="a b", finish_reason="length"),
    "inside": lambda before: Say(body={"error": {"message": "later", "code": 502}}) if before == 0 else Say(),
}  # fmt: skip
"""Question -> what the server does: all are answered in the end."""
HOPELESS: dict[str, tuple[Callable[[int], Say], str, int]] = {
    "no json": (lambda before: Say(body=b"<html>"), r"cannot be read \(JSONDecodeError.*expected a chat completion", 1),
    "no choice": (lambda before: Say(body={"choices": []}), r"cannot be read \(IndexError", 1),
    "forbidden": (lambda before: refusal("no such key", code=401), "HTTP 401: no such key", 1),
    "too large": (lambda before: refusal("max_tokens is too large", param="max_tokens"), "HTTP 400: .*too large", 1),
    "always": (lambda before: Say(code=503, body=b"down"), "No answer after 3 requests: HTTP 503: down", 3),
    "dropped": (lambda before: Say(drop=True), "No answer after 3 requests: the connection to .* broke", 3),
    "much later": (
        lambda before: Say(code=429, headers={"Retry-After": "7200"}, body={}),
        "after 1 requests: HTTP 429: .*asks to wait 7200 s",
        1,
    ),
}
"""Question -> what the server does, the error, and how often it is asked."""


def test_every_request_has_one_answer_whatever_the_server_does() -> None:
    def answer(body: Body, before: int) -> Say:
        return FAULTS[question_of(body).partition("/")[0]](before)

    questions = [f"{name}/{i}" for name in FAULTS for i in range(4)]
    with OpenAIServer(answer) as server:
        answers = ask_all(load(server), questions)
    assert {q: type(a).__name__ for q, a in answers.items()} == dict.fromkeys(questions, "Answer")
    assert server.answered == {q: 2 if q.startswith("inside") else 1 for q in questions}  # none is paid for twice
    filtered, long = answers["filtered/0"], answers["too long/0"]
    assert isinstance(filtered, Answer)
    assert isinstance(long, Answer)
    assert (filtered.text, filtered.finish_reason) == ("", "content_filter")
    assert (long.text, long.finish_reason) == ("a b", "length")
    later = [t for t, b in zip(server.times, server.bodies, strict=True) if question_of(b) == "busy, says when/0"]
    assert later[1] - later[0] >= 0.3


def test_what_cannot_be_answered_is_an_error_of_its_own() -> None:
    def answer(body: Body, before: int) -> Say:
        question = question_of(body)
        return HOPELESS[question][0](before) if question in HOPELESS else Say()

    with OpenAIServer(answer) as server:
        answers = ask_all(load(server, tries=3), [*HOPELESS, "fine", "fine too"])
    for question, (_, message, times) in HOPELESS.items():
        with pytest.raises(Exception, match=message):
            raise answers[question]  # type: ignore[misc]
        assert server.asked[question] == times, question
    assert isinstance(answers["fine"], Answer)
    assert isinstance(answers["fine too"], Answer)


def test_an_answer_that_takes_too_long_is_not_asked_for_again() -> None:
    with OpenAIServer(lambda body, before: Say(after_seconds=3)) as server:
        answers = ask_all(load(server, request_timeout=0.3), ["slow"])
    assert "within 0.3 s. Raise --request-timeout" in str(answers["slow"])
    assert server.asked["slow"] == 1


def test_no_server() -> None:
    with OpenAIServer(lambda body, before: Say()) as server:
        model = load(server, tries=2)
    assert "No answer after 2 requests: no connection to 127.0.0.1" in str(ask_all(model, ["?"])["?"])


def test_the_words_of_a_reasoning_model_are_learnt_once() -> None:
    def answer(body: Body, before: int) -> Say:
        if "max_tokens" in body:
            text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
            return refusal(text, param="max_tokens", code=400)
        if "temperature" in body:
            return refusal("Unsupported value: 'temperature' does not support 0 with this model.", param="temperature")
        return Say()

    with OpenAIServer(answer) as server:
        model = load(server, concurrency=1)
        answers = ask_all(model, [str(i) for i in range(10)])
        assert all(isinstance(a, Answer) for a in answers.values())
        assert len(server.bodies) == 12  # two were refused, and the rest knew
        assert server.bodies[-1]["max_completion_tokens"] == 256
        assert "without temperature" in str(answers["3"].engine)  # type: ignore[union-attr]
        assert all(isinstance(a, Answer) for a in ask_all(load(server), [f"{i} at once" for i in range(40)]).values())


def test_a_server_that_names_no_parameter() -> None:
    def answer(body: Body, before: int) -> Say:
        if "seed" in body:
            return Say(code=422, body={"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]})
        return Say()

    with OpenAIServer(answer) as server:
        made = ask_all(load(server, concurrency=1), ["a", "b"])
    assert all(isinstance(a, Answer) for a in made.values())
    assert len(server.bodies) == 3


def test_fewer_requests_where_the_server_is_full() -> None:
    with OpenAIServer(lambda body, before: Say(after_seconds=0.05)) as server:
        ask_all(load(server, concurrency=4), [str(i) for i in range(12)])
        assert 1 < server.most_at_once <= 4
        ask_all(load(server), [f"again {i}" for i in range(6)], max_requests=1)
    gate = Gate(8)
    with gate.passing() as first, gate.passing() as second:
        gate.refused(first)
        gate.refused(second)  # sent before the first was refused: the same news
    assert gate.limit == 4
    for _ in range(40):
        gate.answered()
    assert gate.limit == 6
    for _ in range(400):
        gate.answered()
    assert gate.limit == 8
    for _ in range(5):
        with gate.passing() as halved:
            gate.refused(halved)
    assert gate.limit == 1


def test_waits_grow_and_heed_the_server() -> None:
    backoff = Backoff(tries=4, first_seconds=1.0)
    waits = [backoff.wait(n) for n in (1, 2, 3, 4)]
    assert waits[3] is None
    for n, wait in enumerate(waits[:3]):
        assert wait is not None
        assert 0.5 * 2**n <= wait <= 2**n
    asked = backoff.wait(1, 20.0)
    assert asked is not None
    assert asked >= 20
    assert seconds_asked({"retry-after": "1.5"}) == 1.5
    now = time.time()
    assert seconds_asked({"retry-after": formatdate(now + 30, usegmt=True)}, now) == pytest.approx(30, abs=1)
    assert seconds_asked({"retry-after": "soon"}) is None
    assert seconds_asked({}) is None


def test_limits_are_errors_and_cut_nothing(video: Path) -> None:
    with OpenAIServer(lambda body, before: Say()) as server:
        with pytest.raises(UserError, match=r"16 images; expected at most 12 \(--max-images\)"):
            load(server, max_images=12).answer(video, "?")
        with pytest.raises(UserError, match=r"MB; expected at most 0.01 \(--max-request-mb\)"):
            load(server, max_request_mb=0.01).answer(video, "?")
    assert not server.bodies


def test_the_key_is_told_to_the_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(lambda body, before: refusal(f"Incorrect API key provided: {KEY}.", code=401)) as server:
        said = ask_all(load(server), ["?"])["?"]
        assert "Incorrect API key provided: [key]." in str(said)
        monkeypatch.setenv("OPENAI_API_KEY", "")
        ask_all(load(server), ["?"])
        assert "Authorization" not in server.headers[-1]
        monkeypatch.setenv("OTHER_KEY", "other")
        ask_all(load(server, api_key_env="OTHER_KEY"), ["?"])
        assert server.headers[-1]["Authorization"] == "Bearer other"
        with pytest.raises(UserError, match=r"NO_KEY .* is not set"):
            load(server, api_key_env="NO_KEY")
        monkeypatch.setenv("OTHER_KEY", "a\nsecret")
        with pytest.raises(UserError, match="holds no key") as raised:
            load(server, api_key_env="OTHER_KEY")
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("openai:", {}, "expected openai:NAME"),
        ("openai:m", {"engine_config": {}}, "openai:m needs --base-url"),
        ("openai:m", {"engine_config": {"base_url": "localhost:8000"}}, "expected http://HOST:PORT"),
        ("openai:m", {"engine_config": {"base_url": "https://me:secret@host/v1"}}, "--base-url holds a user"),
        ("openai:m", {"engine_config": {"bas_url": ""}}, "settings it does not take: bas_url; expected base_url, "),
        ("openai:m", {"engine_config": {"base_url": "http://h/v1", "concurrency": 0}}, "--concurrency is 0"),
        ("openai:m", {"connector": "stc"}, "openai:m runs as a whole: --connector cannot be applied"),
        ("openai:m", {"connector_weights": "w"}, "--connector-weights cannot be applied"),
        ("openai:m", {"engine": "vllm"}, "is run by `openai`, not by --engine vllm"),
        ("openai:m", {"thinking": True}, "--thinking cannot be applied"),
    ],
)
def test_what_cannot_be_is_said_at_once(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        videollm.load(name, **{"engine_config": {"base_url": "http://127.0.0.1:9/v1"}, **options})


def test_it_cannot_be_saved(tmp_path: Path) -> None:
    with OpenAIServer(lambda body, before: Say()) as server, pytest.raises(UserError, match="cannot be saved"):
        load(server).save(tmp_path)
