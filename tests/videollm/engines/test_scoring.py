"""Scores of continuations are the log-probabilities that an engine generates by, whoever shares the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch

from tests.support.tiny_llms import LLMS, clips, llm, tokenizer
from tests.videollm.engines.test_running import SIZES, run
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.memory import bytes_per_token
from videollm.engines.packing import embed
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.running import RunningBatch
from videollm.engines.sampler import Sampler
from videollm.errors import UserError
from videollm.types import Generation

GREEDY = Generation(max_new_tokens=7)
SAMPLED = Generation(max_new_tokens=7, temperature=0.7, top_p=0.8, repetition_penalty=1.3, seed=5)
NEAR = 1e-4
TEXTS: list[tuple[int, ...]] = [(5,), (9,), (5, 9, 30), (5, 9, 31, 7), (200, 1), (5, 9), (5, 9, 30)]
"""Of one token and of many; some begin alike, one twice."""


def by_transformers(model, visual: torch.Tensor, ids: Sequence[int], texts: Sequence[Sequence[int]]) -> list[float]:
    """One plain forward a text."""
    made = []
    for text in texts:
        whole = torch.tensor([[*ids, *text]])
        with torch.inference_mode():
            logits = model(inputs_embeds=embed(whole, [visual], model.get_input_embeddings())).logits[0]
        known = logits.double().log_softmax(-1)
        made.append(sum(float(known[len(ids) - 1 + i, token]) for i, token in enumerate(text)))
    return made


def scored(engine: BuiltinEngine, ids: Sequence[int], texts: Sequence[Sequence[int]], key: str = "scored") -> Prompt:
    return engine.prompt(ids, range(len(ids) + 1), key, 1, GREEDY, continuations=texts)


@pytest.fixture
def generating(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """By key, the log-probabilities of the tokens that a greedy engine chose."""
    noted: dict[str, list[float]] = {}
    choose = Sampler.__call__

    def note(self, logits, generated, keys):
        chosen = choose(self, logits, generated, keys)
        known = logits.float().log_softmax(-1)
        for row, (key, token) in enumerate(zip(keys, chosen, strict=True)):
            noted.setdefault(key, []).append(float(known[row, token]))
        return chosen

    monkeypatch.setattr(Sampler, "__call__", note)
    return noted


@pytest.mark.parametrize("name", LLMS)
def test_scores_of_greedy_answers_are_those_of_their_steps(name: str, generating: dict[str, list[float]]) -> None:
    engine = BuiltinEngine(llm(name), tokenizer())
    answers = engine.generate(clips(32, *SIZES), GREEDY)
    texts = [[[c.ids] for c in of_clip] for of_clip in answers]
    assert all(ids for of_clip in texts for (ids,) in of_clip)
    made = engine.generate(clips(32, *SIZES), GREEDY, continuations=texts)
    for i, of_clip in enumerate(made):
        for j, one in enumerate(of_clip):
            assert (one.text, one.ids, one.finish_reason) == ("", (), "scored")
            expected = sum(generating[f"{i}/{j}"][: len(answers[i][j].ids)])
            assert one.scores == pytest.approx([expected], abs=NEAR)


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", LLMS)
def test_scores_do_not_depend_on_who_shares_the_batch(name: str, generation: Generation) -> None:
    """Prompts that are scored beside such that are answered, of the same clips, as they come."""
    model = llm(name)
    engine = BuiltinEngine(model, tokenizer())
    given = clips(32, *SIZES)
    expected = [[by_transformers(model, v, ids, TEXTS) for ids in of_clip] for v, of_clip in given]
    answered = engine.generate(given, generation)
    for seed in range(3):
        rng = random.Random(seed)
        order = rng.sample(TEXTS, len(TEXTS))
        arriving: list[tuple[Prefix, list[Prompt]]] = []
        made: dict[tuple[int, int], tuple[Prompt, Prompt]] = {}
        for i, (visual, of_clip) in enumerate(given):
            for j, ids in enumerate(of_clip):
                made[i, j] = (
                    scored(engine, ids, order),
                    engine.prompt(ids, range(len(ids) + 1), f"{i}/{j}", 7, generation),
                )
            prompts = [p for (clip, _), pair in made.items() if clip == i for p in pair]
            arriving.append((Prefix(tokens=visual), rng.sample(prompts, len(prompts))))
        rng.shuffle(arriving)
        batch = engine.start(generation, max_prompts=rng.choice([None, 1, 5]))
        assert isinstance(batch, RunningBatch)
        run(batch, arriving, rng)
        assert batch.num_prompts == batch.num_tokens == 0
        assert not batch.users
        for (i, j), (one, other) in made.items():
            known = dict(zip(order, engine.completion(one).scores, strict=True))
            assert [known[text] for text in TEXTS] == pytest.approx(expected[i][j], abs=NEAR)
            assert engine.completion(other) == answered[i][j]


def forwards(model) -> list[tuple[int, int]]:
    fed: list[tuple[int, int]] = []
    model.base_model.register_forward_pre_hook(
        lambda _, __, given: fed.append(tuple(given["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    return fed


def test_one_token_takes_no_step_and_many_take_one_forward() -> None:
    model = llm()
    engine = BuiltinEngine(model, tokenizer())
    ((visual, (ids,)),) = clips(32, (20, 1))
    fed = forwards(model)
    engine.generate([(visual, [ids])], GREEDY, continuations=[[[(5,), (9,), (200,)]]])
    assert fed == [(1, len(ids) - 1), (1, 1)]
    fed.clear()
    engine.generate([(visual, [ids])], GREEDY, continuations=[[TEXTS]])
    # Behind the prompt: 5 9 and 5 9 31 and 200, where the first is the beginning of the second.
    assert fed == [(1, len(ids) - 1), (1, 1), (1, 3 + 1)]


def test_questions_of_a_clip_share_it_with_what_is_scored() -> None:
    model = llm()
    engine = BuiltinEngine(model, tokenizer())
    ((visual, (first, second, third, _)),) = clips(32, (20, 4))
    fed = forwards(model)
    engine.generate([(visual, [first, second, third])], GREEDY, continuations=[[[], TEXTS, [(7,)]]])
    assert fed[0] == (1, 24)
    assert fed[1] == (1, len(first) + len(second) + len(third) - 3 * 24)


@pytest.mark.parametrize("name", ["qwen2-sliding", "qwen3.5"])
def test_long_texts_go_in_piece_by_piece(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = BuiltinEngine(llm(name), tokenizer())
    texts = [[TEXTS] * n for _, n in SIZES]
    whole = [c.scores for of_clip in engine.generate(clips(32, *SIZES), GREEDY, continuations=texts) for c in of_clip]
    monkeypatch.setattr("videollm.engines.running.MAX_LOGITS", 300)  # a token at a time
    monkeypatch.setattr("videollm.engines.running.MAX_SCORES", 700)
    parts = [c.scores for of_clip in engine.generate(clips(32, *SIZES), GREEDY, continuations=texts) for c in of_clip]
    assert torch.tensor(parts).allclose(torch.tensor(whole), atol=NEAR)


def test_memory_bounds_what_is_scored_at_once() -> None:
    model = llm()
    size = bytes_per_token(model)
    engine = BuiltinEngine(model, tokenizer(), BuiltinEngine.Config(cache_gb=700 * size / 1e9))
    ((visual, ids),) = clips(32, (20, 6))
    batch = engine.start(GREEDY)
    assert isinstance(batch, RunningBatch)
    prompts = [scored(engine, i, TEXTS) for i in ids]
    room = batch.room(prompts)
    batch.join(Prefix(tokens=visual), prompts)
    assert room.needed // size > 700
    rounds = 0
    while batch.num_prompts:
        before = batch.num_prompts
        batch.advance()
        rounds += 1
        assert before - batch.num_prompts <= 3
    assert rounds > 1
    for prompt, i in zip(prompts, ids, strict=True):
        assert engine.completion(prompt).scores == pytest.approx(by_transformers(model, visual, i, TEXTS), abs=NEAR)


def test_lower_precision_is_scored_in_float32() -> None:
    model = llm().to(torch.bfloat16)
    ((visual, ids),) = clips(32, (20, 2))
    made = BuiltinEngine(model, tokenizer()).generate([(visual, ids)], GREEDY, continuations=[[TEXTS, TEXTS]])
    for one in made[0]:
        assert all(score != round(score, 1) for score in one.scores)
        assert all(-60 < score < 0 for score in one.scores)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([(1,), ()], "Continuation 2 of 2 has no tokens; expected a text to score"),
        ([(263,)], "Continuation 1 holds token id 263 but the LLM embeds 263"),
        ([[1] * 300], "Continuation 1 has 300 tokens behind a prompt that ends at position 25"),
    ],
)
def test_what_cannot_be_scored_is_refused_clearly(texts: list[Sequence[int]], message: str) -> None:
    ((visual, (ids,)),) = clips(32, (20, 1))
    with pytest.raises(UserError, match=message):
        BuiltinEngine(llm(), tokenizer()).generate([(visual, [ids])], GREEDY, continuations=[[texts]])


def test_texts_may_end_at_the_last_position() -> None:
    model = llm()
    ((visual, (ids,)),) = clips(32, (20, 1))
    text = [7] * (model.config.max_position_embeddings - len(ids) + 1)
    made = BuiltinEngine(model, tokenizer()).generate([(visual, [ids])], GREEDY, continuations=[[[text]]])
    assert made[0][0].scores == pytest.approx(by_transformers(model, visual, ids, [text]), rel=1e-5)
    with pytest.raises(UserError, match="Continuation 1 has"):
        BuiltinEngine(model, tokenizer()).generate([(visual, [ids])], GREEDY, continuations=[[[[*text, 7]]]])
