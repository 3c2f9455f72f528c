"""The stage that encodes and answers: clips join and leave at any time, and a bad request fails alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from torch import Tensor

import videollm
from pipelines.requests.types import ClipTask, job_request
from pipelines.results.schema import ResultRow
from pipelines.stages.base import Item
from pipelines.stages.model import EncodeAnswer
from videollm.checkpoints import Options
from videollm.engines.sampler import Sampler
from videollm.errors import Status
from videollm.models.protocol import VideoModel
from videollm.shapes.data import ShapesData
from videollm.types import Clip, FrameBatch, Generation, Request

QUESTIONS = ["What moves?", "Is the circle red?", "Describe the video.", "What is left of the square?"]


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return videollm.load("tiny-stc")


@pytest.fixture(scope="module")
def frames() -> list[FrameBatch]:
    data = ShapesData(seed=2, batch_size=3, num_frames=(8,), size=96)
    longer = ShapesData(seed=3, batch_size=6, num_frames=(16,), size=96)
    return [example.frames for example in [*data(0), *longer(0)]]


def stage(model: VideoModel, **options: int) -> EncodeAnswer:
    made = EncodeAnswer(
        EncodeAnswer.Config(model=Options(name="tiny-stc"), generation={"max_new_tokens": 12}, **options)  # type: ignore[arg-type]
    )
    made._model = model
    if made.config.overlaps:
        made._thread = ThreadPoolExecutor(1)
    return made


def make_item(number: int, frames: FrameBatch, questions: Sequence[str]) -> Item:
    clip = Clip(video=f"{number}.mp4")
    asked = [job_request(Request(id=f"{number}/{q}", clip=clip, question=q), clip.video) for q in questions]
    return Item(task=ClipTask(clip=clip, requests=tuple(asked)), model="m", connector="c", payload=frames)


def rows_of(running: EncodeAnswer, items: Sequence[Item], rng: random.Random) -> dict[str, ResultRow]:
    """Let items join in some order, some at a time."""
    left = [*enumerate(items)]
    rng.shuffle(left)
    rows: dict[str, ResultRow] = {}
    while left or running.num_items:
        joining, left = (left, []) if rng.random() < 0.2 else (left[:2], left[2:])
        running.add(dict(joining))
        for _ in range(rng.randrange(4)):
            rows |= {row.id: row for end in running.advance().values() for row in end.rows}
    return rows


@pytest.mark.parametrize("options", [{}, {"questions_per_batch": 3}, {"overlaps": True}], ids=str)
def test_rows_are_those_of_clips_alone(model: VideoModel, frames: list[FrameBatch], options: dict[str, int]) -> None:
    items = [make_item(i, batch, QUESTIONS[: 1 + i % 4]) for i, batch in enumerate(frames)]
    greedy = Generation(max_new_tokens=12)
    alone = {
        f"{i}/{q}": model.answer(batch, q, generation=greedy).text
        for i, batch in enumerate(frames)
        for q in QUESTIONS[: 1 + i % 4]
    }
    for seed in range(3):
        rows = rows_of(stage(model, **options), items, random.Random(seed))
        assert {id: row.answer for id, row in rows.items()} == alone
        assert all(row.generate_seconds > 0 for row in rows.values())


def test_a_request_that_fails_the_batch_fails_alone(
    model: VideoModel, frames: list[FrameBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = f"2/{QUESTIONS[1]}"
    choose = Sampler.__call__

    def run_out(self: Sampler, logits: Tensor, generated: Sequence[Sequence[int]], keys: Sequence[str]) -> list[int]:
        if bad in keys:
            raise RuntimeError("out of memory")
        return choose(self, logits, generated, keys)

    items = [make_item(i, batch, QUESTIONS) for i, batch in enumerate(frames)]
    expected = rows_of(stage(model), items, random.Random(0))
    monkeypatch.setattr(Sampler, "__call__", run_out)
    rows = rows_of(stage(model), items, random.Random(1))
    assert rows[bad].status == Status.GENERATE_ERROR
    assert rows[bad].error == "RuntimeError: out of memory"
    assert {id: r.answer for id, r in rows.items() if id != bad} == {
        id: r.answer for id, r in expected.items() if id != bad
    }


def test_prompts_that_do_not_fit_fail_alone(model: VideoModel, frames: list[FrameBatch]) -> None:
    items = [make_item(0, frames[0], [*QUESTIONS, "word " * 20_000]), make_item(1, frames[1], QUESTIONS)]
    rows = rows_of(stage(model), items, random.Random(0))
    failed = [row for row in rows.values() if row.status != Status.OK]
    assert [row.status for row in failed] == [Status.GENERATE_ERROR]
    assert "tokens" in str(failed[0].error)
    assert len(rows) == 9


def test_memory_is_planned_before_a_clip_joins(model: VideoModel, frames: list[FrameBatch]) -> None:
    running = stage(model)
    (visual,) = model.encode(frames[:1])
    one, four = (
        running.room(replace(make_item(0, frames[0], questions), payload=visual))
        for questions in (QUESTIONS[:1], QUESTIONS)
    )
    assert one is not None
    assert four is not None
    assert one.available == four.available > 100 * four.needed
    # Each further question takes a row of its own for its prompt and answer, and none for the clip.
    assert one.needed < four.needed < 4 * one.needed
