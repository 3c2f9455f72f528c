import re
from dataclasses import replace
from itertools import chain

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from tests.support.tiny_llms import LLMS, llm, tokenizer
from tests.support.tiny_llms import clips as tiny_clips
from videollm.engines import packing as fuse
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.packing import VISUAL
from videollm.errors import UserError
from videollm.types import Generation

GREEDY = Generation(max_new_tokens=10)
END = tokenizer().eos_token_id


def clips():
    return tiny_clips(32, (5, 3), (12, 1), (0, 2), (20, 4))


def alone(model, visual, prompt, **options):
    """What transformers' own loop generates for one prompt."""
    embeds = fuse.embed(torch.tensor([prompt]), [visual], model.get_input_embeddings())
    settings = {"max_new_tokens": 10, "do_sample": False, "pad_token_id": 0, **options}
    ids = model.generate(inputs_embeds=embeds, attention_mask=torch.ones(embeds.shape[:2]), **settings)[0].tolist()
    return ids[: ids.index(END)] if END in ids else ids


def shapes_fed(model):
    """(rows, tokens) of every forward from now on."""
    fed = []

    def note(_, __, given):
        given = given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"]
        fed.append(tuple(given.shape[:2]))

    model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    return fed


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", LLMS)
def test_shared_prefix_equals_separate_prompts(name, attention):
    model = llm(name, attention)
    answers = BuiltinEngine(model, tokenizer()).generate(clips(), GREEDY)
    for (visual, prompts), completions in zip(clips(), answers, strict=True):
        for prompt, completion in zip(prompts, completions, strict=True):
            assert list(completion.ids) == alone(model, visual, prompt)
            assert completion.finish_reason == ("length" if len(completion.ids) == 10 else "stop")


def test_visual_prefix_is_computed_once():
    model = llm()
    fed = shapes_fed(model)
    visual, prompts = clips()[3]
    BuiltinEngine(model, tokenizer()).generate([(visual, prompts)], replace(GREEDY, max_new_tokens=3))
    own = sum(len(p) - 24 for p in prompts)
    assert fed == [(1, 24), (1, own), (1, 4), (1, 4)]  # what they share, what follows, and two steps


def test_recurrent_layers_take_rows_of_their_own():
    model = llm("qwen3.5")
    fed = shapes_fed(model)
    visual, prompts = clips()[3]
    BuiltinEngine(model, tokenizer()).generate([(visual, prompts)], replace(GREEDY, max_new_tokens=3))
    longest_first = sorted((len(p) - 24 for p in prompts), reverse=True)
    assert fed == [(1, 24), *((1, n) for n in longest_first), (4, 1), (4, 1)]


def test_finished_questions_and_clips_are_not_fed():
    model = llm()
    fed = shapes_fed(model)
    budgets = [[1, 4, 2], [2], [1, 1], [1, 1, 1, 5]]
    answers = BuiltinEngine(model, tokenizer()).generate(clips(), GREEDY, max_new_tokens=budgets)
    assert [[len(c.ids) for c in of_clip] for of_clip in answers] == budgets
    assert fed[2:] == [(1, 4), (1, 2), (1, 2), (1, 1)]  # after the four beginnings, and what follows them
    for (visual, prompts), completions in zip(clips(), answers, strict=True):
        for prompt, completion in zip(prompts, completions, strict=True):
            assert list(completion.ids) == alone(model, visual, prompt)[: len(completion.ids)]


@pytest.mark.parametrize("where", ["llm", "llm list", "tokenizer"])
def test_end_tokens_end_one_answer_only(where):
    model, tok = llm(), tokenizer()
    free = BuiltinEngine(model, tok).generate(clips(), GREEDY)
    end = free[0][1].ids[4]
    if where == "tokenizer":
        tok.eos_token = tok.convert_ids_to_tokens(end)
    else:
        model.generation_config.eos_token_id = [end, 262] if where == "llm list" else end
    for of_clip, before in zip(BuiltinEngine(model, tok).generate(clips(), GREEDY), free, strict=True):
        for completion, whole in zip(of_clip, before, strict=True):
            expected = whole.ids[: whole.ids.index(end)] if end in whole.ids else whole.ids
            assert completion.ids == expected
            assert completion.finish_reason == ("stop" if end in whole.ids else whole.finish_reason)


@pytest.mark.parametrize("name", ["qwen2", "qwen3.5"])
def test_token_zero_is_ordinary(name):
    model = llm(name)
    rows = [(torch.randn(2, 32), [[0, VISUAL, VISUAL, 0], [0, VISUAL, VISUAL, 0, 0, 5]]), (torch.randn(0, 32), [[0]])]
    for (visual, prompts), completions in zip(
        rows, BuiltinEngine(model, tokenizer()).generate(rows, GREEDY), strict=True
    ):
        for prompt, completion in zip(prompts, completions, strict=True):
            assert list(completion.ids) == alone(model, visual, prompt)


def test_prompts_that_differ_before_the_video_use_rows_of_their_own():
    model = llm()
    visual = torch.randn(3, 32)
    prompts = [[system, VISUAL, VISUAL, VISUAL, 9, q] for system in (1, 2) for q in (3, 4)]
    fed = shapes_fed(model)
    completions = BuiltinEngine(model, tokenizer()).generate([(visual, prompts)], GREEDY)[0]
    assert fed[0] == (1, 10)  # both beginnings, end to end
    for prompt, completion in zip(prompts, completions, strict=True):
        assert list(completion.ids) == alone(model, visual, prompt)


def test_nothing_to_do():
    engine = BuiltinEngine(llm(), tokenizer())
    assert engine.generate([], GREEDY) == []
    visual, prompts = clips()[0]
    answers = engine.generate([(visual, []), (visual, prompts), (visual, [])], GREEDY)
    assert [len(of_clip) for of_clip in answers] == [0, 3, 0]


def test_lower_precision_stays_finite():
    model = llm().to(torch.bfloat16)
    answers = BuiltinEngine(model, tokenizer()).generate(clips(), GREEDY)
    assert all(c.finish_reason == "length" for of_clip in answers for c in of_clip)
    assert len({c.ids for of_clip in answers for c in of_clip}) > 5


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty` with `inputs_embeds`")
def test_repetition_penalty_equals_transformers():
    model = llm()
    answers = BuiltinEngine(model, tokenizer()).generate(clips(), replace(GREEDY, repetition_penalty=1.3))
    for (visual, prompts), completions in zip(clips(), answers, strict=True):
        for prompt, completion in zip(prompts, completions, strict=True):
            assert list(completion.ids) == alone(model, visual, prompt, repetition_penalty=1.3)


SAMPLED = replace(GREEDY, temperature=1.0, top_p=0.95, top_k=50, repetition_penalty=1.05, seed=3)


@pytest.mark.parametrize("name", ["qwen2", "qwen3.5"])
def test_sampled_answers_do_not_depend_on_the_batch(name):
    engine = BuiltinEngine(llm(name), tokenizer())
    rows = clips()
    keys = [[f"{r}.{q}" for q in range(len(prompts))] for r, (_, prompts) in enumerate(rows)]
    together = engine.generate(rows, SAMPLED, keys=keys)
    backwards = engine.generate(rows[::-1], SAMPLED, keys=keys[::-1])[::-1]
    assert together == backwards
    for (visual, prompts), names, completions in zip(rows, keys, together, strict=True):
        for prompt, key, completion in zip(prompts, names, completions, strict=True):
            assert engine.generate([(visual, [prompt])], SAMPLED, keys=[[key]]) == [[completion]]


def test_seed_and_key_choose_the_answer():
    engine = BuiltinEngine(llm(), tokenizer())
    visual, prompts = clips()[1]
    made = {
        engine.generate([(visual, prompts)], replace(SAMPLED, seed=seed), keys=[[key]])[0][0].ids
        for seed in (0, 1)
        for key in ("a", "b")
    }
    assert len(made) == 4


def test_stop_string_ends_an_answer_and_is_cut():
    engine, long = BuiltinEngine(llm(), tokenizer()), replace(GREEDY, max_new_tokens=60)
    free = engine.generate(clips(), long)
    stop = next(m[0] for of_clip in free for c in of_clip if (m := re.search("[ -~]{2}", c.text)))
    stopped = engine.generate(clips(), replace(long, stop=("absent", stop)))
    for before, after in zip(chain(*free), chain(*stopped), strict=True):
        if stop in before.text:
            assert after.text == before.text[: before.text.index(stop)]
            assert after.finish_reason == "stop_string"
            assert len(after.ids) < 60
        else:
            assert after == before


@pytest.mark.parametrize("clip", range(4))
@pytest.mark.parametrize("stop", [(), ("~~",)])
def test_streamed_pieces_make_the_text(clip, stop):
    engine = BuiltinEngine(llm(), tokenizer())
    visual, prompts = clips()[clip]
    generation = replace(GREEDY, max_new_tokens=40, stop=stop)
    pieces = []
    streamed = engine.generate([(visual, prompts[:1])], generation, on_text=pieces.append)
    assert streamed == engine.generate([(visual, prompts[:1])], generation)
    assert "".join(pieces) == streamed[0][0].text
    assert all(pieces)


def test_streaming_takes_one_prompt():
    with pytest.raises(ValueError, match="one prompt; got 3"):
        BuiltinEngine(llm(), tokenizer()).generate(clips()[:1], GREEDY, on_text=print)


@pytest.mark.parametrize(
    ("prompt", "budget", "message"),
    [
        ([1, VISUAL, VISUAL, 2], 0, "max_new_tokens is 0; expected at least 1"),
        ([1, VISUAL, VISUAL, 2], -3, "max_new_tokens is -3"),
        ([], 5, "no text after its visual tokens"),
        ([1, VISUAL, VISUAL], 5, "no text after its visual tokens"),
        ([1, VISUAL, VISUAL, 263], 5, "token id 263 but the LLM embeds 263"),
        ([1, VISUAL, VISUAL] * 100, 5, "no text"),
        ([1, VISUAL, VISUAL, *[7] * 253], 5, r"256 tokens \(2 of them visual\) but the LLM takes fewer than 256"),
        ([1, VISUAL, 2], 5, "reserves 1 visual tokens but the connector made 2"),
    ],
)
def test_bad_prompts_are_refused_clearly(prompt, budget, message):
    engine = BuiltinEngine(llm(), tokenizer())
    with pytest.raises(ValueError, match=message):
        engine.generate([(torch.zeros(2, 32), [prompt])], GREEDY, max_new_tokens=[[budget]])


def test_answers_end_at_the_last_position():
    model = llm()
    prompt = [1, VISUAL, VISUAL, *[7] * 250]
    answer = BuiltinEngine(model, tokenizer()).generate([(torch.zeros(2, 32), [prompt])], GREEDY)[0][0]
    assert (len(answer.ids), answer.finish_reason) == (3, "length")


def test_llms_that_cannot_share_a_row_are_refused():
    mamba = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=300))
    with pytest.raises(ValueError, match="decoder-only"):
        BuiltinEngine(mamba, tokenizer())
    own_way = llm()
    own_way.model.layers[1].self_attn.forward = lambda hidden_states, **_: (torch.zeros_like(hidden_states), None)
    with pytest.raises(UserError, match="2 of the 3 attention layers"):
        BuiltinEngine(own_way, tokenizer()).generate(clips(), GREEDY)
    with pytest.raises(ValueError, match=r"\.eval\(\)"):
        BuiltinEngine(llm().train(), tokenizer()).generate(clips(), GREEDY)
