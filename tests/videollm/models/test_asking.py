"""A connector that looks at the question: each question has tokens of its own, in answers, stages and training."""

from __future__ import annotations

import pytest
import torch

import videollm
from connectors.contract import check_connector
from pipelines.requests.types import ClipTask, JobRequest
from pipelines.stages.base import Finished, Item
from pipelines.stages.model import Answer, Encode
from tests.support.asking import AskingPool
from videollm.checkpoints import Options
from videollm.errors import UserError
from videollm.models.composed import VideoLLM
from videollm.shapes.data import ShapesData
from videollm.training.data import Example, Lesson
from videollm.training.objectives.answers import AnswerObjective
from videollm.types import Clip, FrameBatch, Generation, Request

NAME = "tests.support.asking:AskingPool"
QUESTIONS = ["What moves?", "Is the circle red?", "Describe the video.", "What moves?"]
GREEDY = Generation(max_new_tokens=8)


@pytest.fixture(scope="module")
def model() -> VideoLLM:
    torch.manual_seed(0)
    made = videollm.load("tiny-stc", connector=NAME)
    assert isinstance(made, VideoLLM)
    # Far from uniform, so that questions make a difference: new weights hardly tell patches apart.
    with torch.no_grad():
        made.connector.project.weight.mul_(20)  # type: ignore[union-attr, operator]
    return made


@pytest.fixture(scope="module")
def frames() -> list[FrameBatch]:
    data = ShapesData(seed=1, batch_size=3, num_frames=(8,), size=96)
    return [example.frames for example in data(0)]


def requests(questions: list[str]) -> list[Request]:
    return [Request(id=str(i), clip=Clip(video=""), question=q) for i, q in enumerate(questions)]


def test_contract() -> None:
    check_connector(AskingPool)


def test_each_question_has_its_own_tokens(model: VideoLLM, frames: list[FrameBatch]) -> None:
    asked = model.encode(frames, [QUESTIONS, QUESTIONS[:1], []])
    unasked = model.encode(frames)
    for visual, plain in zip(asked, unasked, strict=True):
        torch.testing.assert_close(visual.tokens, plain.tokens)
    first, second = asked[0].of(QUESTIONS[0]).tokens, asked[0].of(QUESTIONS[1]).tokens
    assert (first - second).abs().max() > 1e-3
    assert (first - asked[0].tokens).abs().max() > 1e-3
    torch.testing.assert_close(model.encode(frames[:1], [QUESTIONS[1:2]])[0].of(QUESTIONS[1]).tokens, second)
    with pytest.raises(UserError, match="none of them"):
        asked[1].of("What else?")


def test_together_as_one_by_one(model: VideoLLM, frames: list[FrameBatch]) -> None:
    visuals = model.encode(frames, [QUESTIONS] * len(frames))
    together = model.answer_batch([(v, requests(QUESTIONS)) for v in visuals], GREEDY)
    for batch, answers in zip(frames, together, strict=True):
        for question, answer in zip(QUESTIONS, answers, strict=True):
            assert model.answer(batch, question, generation=GREEDY) == answer


def test_stages_show_the_questions(model: VideoLLM, frames: list[FrameBatch]) -> None:
    options = Options(name="tiny-stc", connector=NAME)
    encode = Encode(Encode.Config(model=options))
    answer = Answer(Answer.Config(model=options, generation={"max_new_tokens": 8}))
    encode._model = answer._model = model
    clip = Clip(video="a.mp4")
    asked = [JobRequest(**vars(r) | {"clip": clip}, video="a.mp4", fingerprint="") for r in requests(QUESTIONS)]
    task = ClipTask(clip=clip, requests=tuple(asked))
    item = Item(task=task, model="m", connector=NAME, payload=frames[0])
    (encoded,) = encode.run([item])
    (finished,) = answer.run([encoded.item])  # type: ignore[union-attr]
    assert isinstance(finished, Finished)
    alone = [model.answer(frames[0], q, generation=GREEDY).text for q in QUESTIONS]
    assert [row.answer for row in finished.rows] == alone
    assert encoded.item.num_bytes > 3 * model.encode(frames[:1])[0].num_bytes  # type: ignore[union-attr]


def test_training_makes_a_row_of_each_question(model: VideoLLM, frames: list[FrameBatch]) -> None:
    lessons = tuple(Lesson(question=q, answer="red") for q in QUESTIONS[:3])
    together = AnswerObjective(model, lambda step: [])
    loss, _ = together.loss([Example(frames=frames[0], lessons=lessons)])
    alone = [together.loss([Example(frames=frames[0], lessons=(lesson,))])[0] for lesson in lessons]
    torch.testing.assert_close(loss, torch.stack(alone).mean(), atol=1e-4, rtol=1e-4)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.connector.parameters())
