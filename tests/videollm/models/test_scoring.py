"""Scores and text-only requests through a model: its batches, its running batches, its stages."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import videollm
from pipelines.jobs.job import BatchJob
from pipelines.jobs.run import run
from pipelines.requests.manifest import group
from pipelines.requests.types import JobRequest, job_request
from pipelines.stages.base import Advance, Item
from pipelines.stages.decode import Decode
from pipelines.stages.model import Answer, Encode, EncodeAnswer
from videollm import VideoLLM
from videollm.checkpoints import Options, resolve
from videollm.errors import Status, UserError
from videollm.models.protocol import Visual
from videollm.shapes.data import ShapesData
from videollm.types import Clip, FrameBatch, Generation, Request

GREEDY = Generation(max_new_tokens=12)
QUESTION = "What colour is the shape?"
COLOURS = ("red", "green", "a blue circle", "a blue square", "red and green")
CLIP = Clip(video="a.mp4")


@pytest.fixture(scope="module")
def model() -> VideoLLM:
    made = videollm.load("tiny-stc", device="cpu")
    assert isinstance(made, VideoLLM)
    return made


@pytest.fixture(scope="module")
def frames() -> FrameBatch:
    return next(iter(ShapesData(seed=1, batch_size=1, num_frames=(8,), size=96)(0))).frames


@pytest.fixture(scope="module")
def visual(model: VideoLLM, frames: FrameBatch) -> Visual:
    return model.encode([frames])[0]


def request(id: str, continuations: tuple[str, ...] = (), **fields: object) -> Request:
    return Request(id=id, clip=CLIP, question=QUESTION, continuations=continuations, **fields)  # type: ignore[arg-type]


def test_scores_come_in_the_place_of_answers(model: VideoLLM, visual: Visual) -> None:
    plain, scored, last = model.answer_batch([(visual, [request("a"), request("b", COLOURS), request("c")])], GREEDY)[0]
    assert (scored.text, scored.finish_reason, scored.num_generated_tokens) == ("", "scored", 0)
    assert scored.prompt == plain.prompt
    assert scored.num_visual_tokens == plain.num_visual_tokens
    assert (plain.scores, plain.text) == ((), last.text)
    assert list(scored.scores) == pytest.approx(model.score(visual, QUESTION, COLOURS), abs=1e-4)
    alone = [model.score(visual, QUESTION, [text])[0] for text in COLOURS]
    assert alone == pytest.approx(list(scored.scores), abs=1e-4)
    assert all(math.isfinite(score) and score < 0 for score in alone)
    assert model.score(visual, QUESTION, []) == []


def test_what_a_model_answers_is_what_it_scores_highest(model: VideoLLM, frames: FrameBatch) -> None:
    answer = model.answer(frames, QUESTION, generation=GREEDY).text
    others = [text for text in COLOURS if text != answer]
    first, *rest = model.score(frames, QUESTION, [answer, *others])
    assert first > max(s for s, text in zip(rest, others, strict=True) if not answer.startswith(text))


def test_running_batches_score_beside_answers(model: VideoLLM, visual: Visual) -> None:
    answering = model.start(GREEDY)
    answering.add("scored", visual, [request("a", COLOURS), request("b")])
    answering.add("text", None, [request("c", COLOURS, seen=False)])
    answering.add("bad", visual, [request("d", ("red", "")), request("e")])
    answering.add("nothing", None, [request("f")])
    ends = {}
    while answering.num_clips:
        ends |= {ended.key: ended.outcomes for ended in answering.advance()}
    expected = model.answer_batch([(visual, [request("a", COLOURS), request("b")])], GREEDY)[0]
    scored, plain = ends["scored"]
    assert scored.scores == pytest.approx(expected[0].scores, abs=1e-4)
    assert plain == expected[1]
    assert ends["text"][0].scores == pytest.approx(model.score(None, QUESTION, COLOURS), abs=1e-4)
    assert "Continuation 2 of 2 has no tokens" in str(ends["bad"][0])
    assert ends["bad"][1].text == plain.text
    assert "asks about a clip, and came without one" in str(ends["nothing"][0])


def test_names_of_control_tokens_are_text(model: VideoLLM) -> None:
    names = [t.content for t in model.tokenizer.added_tokens_decoder.values() if len(t.content) > 1]
    assert names
    for name in names:
        ids = model.prompt.continuation(f"a {name} b")
        assert not set(ids) & set(model.tokenizer.added_tokens_decoder)
        assert model.tokenizer.decode(ids).replace(" ", "") == f"a{name}b"


def test_a_request_about_text_is_not_shown_the_clip(model: VideoLLM, visual: Visual) -> None:
    beside, alone = (model.answer_batch([(v, [request("a", seen=False)])], GREEDY)[0][0] for v in (visual, None))
    assert beside == alone
    assert (alone.num_visual_tokens, alone.frame_seconds) == (0, ())


def test_tokens_are_counted(model: VideoLLM) -> None:
    assert model.context_tokens == model.llm.config.max_position_embeddings
    assert model.describe().context_tokens == resolve(Options(name="tiny-stc")).info.context_tokens
    assert model.count_tokens("") == 0
    text = "[00:00:10-00:00:20] a red circle"
    assert model.count_tokens(text) == len(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_who_can_score_is_known_before_anything_is_loaded(model: VideoLLM) -> None:
    assert resolve(Options(name="tiny-stc")).info.can_score
    assert model.describe().can_score
    served = Options(name="openai:m", engine_config={"base_url": "http://localhost:1/v1"})
    assert not resolve(served).info.can_score


def job(id: str, **fields: object) -> JobRequest:
    return job_request(replace(request(id), **fields), CLIP.video)  # type: ignore[arg-type]


def test_clips_and_texts_are_grouped_apart() -> None:
    asked = [job("a"), job("b", seen=False), job("c"), job("d", seen=False)]
    tasks = group(asked)
    assert [[r.id for r in task.requests] for task in tasks] == [["a", "c"], ["b", "d"]]
    assert [task.seen for task in tasks] == [True, False]


@pytest.mark.parametrize("split", [False, True])
def test_stages_decode_and_encode_nothing_for_texts(model: VideoLLM, frames: FrameBatch, split: bool) -> None:
    """The video of a text does not even exist; rows hold answers and scores."""
    seen, texts = group([job("a"), job("b", continuations=COLOURS), job("c", seen=False),
                         job("d", seen=False, continuations=COLOURS)])  # fmt: skip
    decode = Decode(Decode.Config(sampling={}, frame_size=None))
    (kept,) = decode.run([Item(task=texts, model="m", connector="c")])
    assert isinstance(kept, Advance)
    assert kept.item.payload is None
    items = [kept.item, Item(task=seen, model="m", connector="c", payload=frames)]
    settings = {"model": Options(name="tiny-stc"), "generation": {"max_new_tokens": 12}}
    answer = Answer(Answer.Config(**settings)) if split else EncodeAnswer(EncodeAnswer.Config(**settings))  # type: ignore[arg-type]
    answer._model = model
    if split:
        encode = Encode(Encode.Config(model=Options(name="tiny-stc")))
        encode._model = model
        encoded = encode.run(items)
        items = [result.item for result in encoded if isinstance(result, Advance)]
    rows = {row.id: row for end in answer.run(items) for row in end.rows}  # type: ignore[union-attr]
    assert [rows[id].status for id in "abcd"] == [Status.OK] * 4
    assert rows["b"].scores == pytest.approx(model.score(frames, QUESTION, COLOURS), abs=1e-4)
    assert rows["d"].scores == pytest.approx(model.score(None, QUESTION, COLOURS), abs=1e-4)
    assert (rows["d"].answer, rows["d"].finish_reason) == ("", "scored")
    assert rows["a"].answer == model.answer(frames, QUESTION, generation=GREEDY).text
    assert rows["c"].num_visual_tokens == 0
    assert rows["c"].frame_seconds == ()
    assert rows["a"].scores == ()


def test_a_text_alone_can_fail_its_batch_and_is_tried_again(
    model: VideoLLM, frames: FrameBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from videollm.models.running import Running

    texts, seen = group([job("c", seen=False, continuations=COLOURS), job("a")])

    def fail(self: Running) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Running, "advance", fail)
    answer = EncodeAnswer(EncodeAnswer.Config(model=Options(name="tiny-stc"), generation={"max_new_tokens": 12}))
    answer._model = model
    items = [Item(task=texts, model="m", connector="c"), Item(task=seen, model="m", connector="c", payload=frames)]
    rows = {row.id: row for end in answer.run(items) for row in end.rows}  # type: ignore[union-attr]
    assert rows["c"].scores == pytest.approx(model.score(None, QUESTION, COLOURS), abs=1e-4)
    assert rows["a"].answer == model.answer(frames, QUESTION, generation=GREEDY).text


def test_jobs_that_need_scores_of_others_fail_before_they_begin(tmp_path: Path) -> None:
    served = Options(name="openai:m", engine_config={"base_url": "http://localhost:1/v1"})
    planned = BatchJob(output=tmp_path / "out", config={}, options={}, model=served)
    with pytest.raises(UserError, match="openai:m: it cannot score texts exactly"):
        run(planned, [job("a"), job("b", continuations=COLOURS)])
    assert not planned.output.exists()


def test_no_scores_of_a_model_that_cannot(frames: FrameBatch) -> None:
    served = videollm.load("openai:m", engine_config={"base_url": "http://localhost:1/v1", "tries": 1})
    with pytest.raises(UserError, match="openai:m: it cannot score texts exactly"):
        served.score(frames, QUESTION, COLOURS)
    with pytest.raises(UserError, match="does not tell how many tokens"):
        served.count_tokens("a")
    assert served.context_tokens is None
