"""Running batches: prompts join and leave at any time, and nobody's answer depends on the others."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace

import pytest
import torch

from tests.support.tiny_llms import LLMS, clips, llm, tokenizer
from videollm.engines.base import Batch, Engine
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.memory import bytes_per_token
from videollm.engines.pools import Pools, row_width
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.running import RunningBatch
from videollm.types import Generation

SAMPLED = Generation(max_new_tokens=12, temperature=0.8, top_p=0.9, repetition_penalty=1.1, seed=3)
SIZES = [(5, 3), (12, 1), (0, 2), (20, 4), (12, 2), (33, 1), (5, 5), (70, 2)]


class Scripted(Engine):
    """An engine that only knows how to run prompts to their ends."""

    def _run(self, clips, generation, on_text):
        BuiltinEngine(self.llm, self.tokenizer)._run(clips, generation, on_text)


def prompts_of(engine: Engine, generation: Generation) -> list[tuple[Prefix, list[Prompt]]]:
    """A clip for each of SIZES, with budgets of all kinds."""
    made = []
    for i, (visual, of_clip) in enumerate(clips(32, *SIZES)):
        prompts = [
            engine.prompt(ids, range(len(ids) + 1), f"{i}/{j}", 1 + (5 * i + 3 * j) % 12, generation)
            for j, ids in enumerate(of_clip)
        ]
        made.append((Prefix(tokens=visual), prompts))
    return made


def run(batch: Batch, arriving: list[tuple[Prefix, list[Prompt]]], rng: random.Random) -> None:
    """Let clips join one after another, with a random number of steps between them."""
    left = deque(arriving)
    while left or any(not p.finish_reason for _, prompts in arriving for p in prompts):
        for _ in range(rng.randrange(3) if left else 0):
            if left:
                batch.join(*left.popleft())
        for _ in range(rng.randrange(1, 4)):
            batch.advance()


def answers(clips_with_prompts: list[tuple[Prefix, list[Prompt]]]) -> dict[str, list[int]]:
    return {p.key: p.generated for _, prompts in clips_with_prompts for p in prompts}


@pytest.mark.parametrize("generation", [Generation(max_new_tokens=12), SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", LLMS)
def test_answers_do_not_depend_on_who_comes_when(name: str, generation: Generation) -> None:
    engine = BuiltinEngine(llm(name), tokenizer())
    alone = prompts_of(engine, generation)
    for visual, prompts in alone:
        for prompt in prompts:
            batch = engine.start(generation)
            batch.join(visual, [prompt])
            while not prompt.finish_reason:
                batch.advance()
    for seed in range(4):
        rng = random.Random(seed)
        arriving = prompts_of(engine, generation)
        rng.shuffle(arriving)
        batch = engine.start(generation, max_prompts=rng.choice([None, 1, 3, 7]))
        run(batch, arriving, rng)
        assert answers(arriving) == answers(alone)
        assert isinstance(batch, RunningBatch)
        assert batch.num_prompts == batch.num_tokens == 0
        assert not [*batch.own_rows.places(), *batch.shared_rows.places()]


def test_no_more_prompts_than_allowed_are_under_way() -> None:
    engine = BuiltinEngine(llm(), tokenizer())
    generation = Generation(max_new_tokens=12)
    batch = engine.start(generation, max_prompts=3)
    assert isinstance(batch, RunningBatch)
    for clip in prompts_of(engine, generation):
        batch.join(*clip)
    most = 0
    while batch.num_prompts:
        batch.advance()
        most = max(most, len(batch.active))
    assert most == 3


def test_memory_bounds_what_is_under_way() -> None:
    model = llm()
    generation = Generation(max_new_tokens=12)
    room = 400
    engine = BuiltinEngine(model, tokenizer(), BuiltinEngine.Config(cache_gb=room * bytes_per_token(model) / 1e9))
    batch = engine.start(generation)
    assert isinstance(batch, RunningBatch)
    arriving = prompts_of(engine, generation)
    for clip in arriving:
        batch.join(*clip)
    most, waited = 0, False
    while batch.num_prompts:
        batch.advance()
        pools = {place.pool for rows in (batch.own_rows, batch.shared_rows) for place in rows.places()}
        assert batch.num_tokens == sum(pool.capacity * pool.width for pool in pools)
        assert all(pool.capacity <= 2 * len(pool.places) for pool in pools)
        most, waited = max(most, batch.num_tokens), waited or batch.num_waiting > 0
    assert waited
    assert most <= room
    assert all(p.finish_reason for _, prompts in arriving for p in prompts)


def test_prompts_of_a_clip_come_in_turn_where_their_answers_may_be_long() -> None:
    model = llm()
    generation = Generation(max_new_tokens=100)
    engine = BuiltinEngine(model, tokenizer(), BuiltinEngine.Config(cache_gb=500 * bytes_per_token(model) / 1e9))
    ((visual, ids),) = clips(32, (20, 5))
    prompts = [engine.prompt(i, range(len(i) + 1), str(k), 100, generation) for k, i in enumerate(ids)]
    batch = engine.start(generation)
    assert isinstance(batch, RunningBatch)
    batch.join(Prefix(tokens=visual), prompts)
    most = 0
    while batch.num_prompts:
        batch.advance()
        most = max(most, batch.num_tokens)
    assert most <= 500
    (expected,) = BuiltinEngine(model, tokenizer()).generate([(visual, ids)], generation)
    assert [tuple(p.generated) for p in prompts] == [c.ids for c in expected]


def test_bytes_of_a_token_are_those_that_rows_take() -> None:
    model = llm("qwen3")
    engine = BuiltinEngine(model, tokenizer())
    batch = engine.start(Generation(max_new_tokens=4))
    assert isinstance(batch, RunningBatch)
    ((visual, ids),) = clips(32, (20, 1))
    batch.join(Prefix(tokens=visual), [engine.prompt(ids[0], range(len(ids[0]) + 1), "a", 4, Generation())])
    batch.advance()
    pools = {place.pool for rows in (batch.own_rows, batch.shared_rows) for place in rows.places()}
    taken = sum(t.nbytes for pool in pools for layer in pool._layers.values() for t in layer)
    assert taken == bytes_per_token(model) * batch.num_tokens


def test_long_prompts_go_in_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = BuiltinEngine(llm("qwen2-sliding"), tokenizer())
    whole = engine.generate(clips(32, *SIZES), replace(SAMPLED, seed=1))
    monkeypatch.setattr("videollm.engines.running.MAX_SCORES", 700)  # a token or two at a time
    monkeypatch.setattr("videollm.engines.running.MAX_PREFILL_TOKENS", 30)
    assert engine.generate(clips(32, *SIZES), replace(SAMPLED, seed=1)) == whole


@pytest.mark.parametrize("max_prompts", [None, 2])
def test_engines_without_running_batches_take_clips_in_turn(max_prompts: int | None) -> None:
    generation = Generation(max_new_tokens=12)
    engine = Scripted(llm(), tokenizer())
    arriving, alone = prompts_of(engine, generation), prompts_of(engine, generation)
    run(engine.start(generation, max_prompts=max_prompts), arriving, random.Random(0))
    engine._run(alone, generation, None)
    assert answers(arriving) == answers(alone)


@pytest.mark.parametrize("length", [1, 16, 17, 100, 129, 1000, 30_000])
def test_rows_waste_at_most_an_eighth(length: int) -> None:
    width = row_width(length)
    assert length <= width <= length + max(63, length / 8)
    assert row_width(width) == width


def test_rows_move_up_when_others_leave() -> None:
    pools = Pools(torch.device("cpu"))
    pool = pools.of(10)
    first, second, third = pool.take(3)
    keys, _ = pool.layer(0, torch.zeros(3, 2, 4), torch.zeros(3, 2, 4))
    for place in (first, second, third):
        keys[place.index] = place.index
    pools.give_back(first)
    assert (second.index, third.index) == (1, 0)
    assert keys[third.index].unique().tolist() == [2]
    pools.give_back(second)
    pools.give_back(third)
    assert pools.of(10) is not pool
