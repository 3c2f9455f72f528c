"""vLLM as the engine: the same greedy answers as the built-in one. Most of it needs the extra `vllm`."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM, Qwen2Config, Qwen2ForCausalLM

import videollm
from tests.support.tiny_llms import LLMS, tokenizer
from tests.support.tiny_llms import clips as tiny_clips
from tests.support.tiny_llms import llm as tiny
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.packing import VISUAL
from videollm.engines.vllm import VLLMEngine, _start
from videollm.engines.vllm_requests import seed_of
from videollm.errors import UserError
from videollm.types import Generation

GREEDY = Generation(max_new_tokens=30)
SAMPLED = replace(GREEDY, temperature=1.0, top_p=0.95, top_k=50, repetition_penalty=1.05, seed=3)
needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (the extra `vllm`)")
if find_spec("vllm") is not None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    VLLMEngine.prepare()
PLAIN = [name for name in LLMS if name not in ("qwen2-sliding", "qwen3.5")]


def llm(name):
    """With heads of a width that vLLM's attention on the CPU takes."""
    return tiny(name, hidden_size=128, head_dim=32)


def clips():
    return tiny_clips(128, (5, 3), (90, 5), (0, 2), (20, 1))


@pytest.fixture(scope="module", params=PLAIN)
def engines(request):
    """The built-in engine and vLLM, on the same weights."""
    built_in = BuiltinEngine(llm(request.param), tokenizer())
    return built_in, VLLMEngine(llm(request.param), tokenizer())


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)  # Python's own way to say that there is no such module
    with pytest.raises(ValueError, match=r"not installed.*videollm\[vllm\].*docs/generation.md.*--engine builtin"):
        videollm.load("tiny-stc", engine="vllm")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_missing_package_is_one_line_of_the_command():
    code = "from pipelines.cli.main import main; main()"
    ask = [sys.executable, "-c", code, "ask", "clip.mp4", "What happens?", "--engine", "vllm"]
    done = subprocess.run(ask, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"videollm: Engine vllm needs the package vllm[^\n]*\n", done.stderr)


def test_unknown_engine_is_refused():
    with pytest.raises(ValueError, match=r"Unknown engine 'vlm'. Expected one of builtin, vllm, or pkg.mod:Class"):
        videollm.load("tiny-stc", engine="vlm")


def test_plain_decoders_are_taken():
    for name in PLAIN:
        VLLMEngine.check_backbone(llm(name))


def test_other_decoders_are_refused_by_their_configuration():
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    with torch.device("meta"):  # no weights are needed to tell
        mamba = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=300))
        mrope = Qwen2ForCausalLM(Qwen2Config(hidden_size=32, num_hidden_layers=1, vocab_size=300, rope_parameters=rope))
    with pytest.raises(ValueError, match=r"plain decoders \(llama, .*\); this LLM is mamba. Use --engine builtin"):
        VLLMEngine.check_backbone(mamba)
    with pytest.raises(ValueError, match="this qwen2 has M-RoPE"):
        VLLMEngine.check_backbone(mrope)
    with pytest.raises(ValueError, match="this qwen2 has sliding windows"):
        VLLMEngine.check_backbone(llm("qwen2-sliding"))
    with pytest.raises(ValueError, match="this qwen2 has heads 32 wide, which it takes 8 wide"):
        VLLMEngine.check_backbone(tiny("qwen2", hidden_size=32, head_dim=32))


def test_seeds_depend_on_job_and_request():
    seeds = {seed_of(replace(GREEDY, seed=seed), key) for seed in (0, 1) for key in ("a", "b", "\udc80")}
    assert len(seeds) == 6
    assert max(seeds) < 2**63
    assert seed_of(GREEDY, "a") == seed_of(replace(GREEDY, max_new_tokens=1), "a")


@needs_vllm
def test_greedy_answers_are_those_of_the_built_in_engine(engines):
    built_in, vllm = engines
    answers = vllm.generate(clips(), GREEDY)
    assert answers == built_in.generate(clips(), GREEDY)
    assert len({c.ids for c in chain(*answers)}) > 8


@needs_vllm
def test_budgets_end_tokens_and_penalties_are_the_same(engines):
    built_in, vllm = engines
    budgets = [[1, 4, 2], [2, 9, 1, 30, 3], [1, 1], [5]]
    penalised = replace(GREEDY, repetition_penalty=1.3)
    assert vllm.generate(clips(), penalised, max_new_tokens=budgets) == built_in.generate(
        clips(), penalised, max_new_tokens=budgets
    )
    assert vllm.generate(clips(), penalised) == built_in.generate(clips(), penalised)
    end = built_in.generate(clips(), GREEDY)[1][0].ids[3]
    for engine in engines:
        engine.llm.generation_config.eos_token_id = [end, 262]
    try:
        answers = vllm.generate(clips(), GREEDY)
        assert answers == built_in.generate(clips(), GREEDY)
        assert answers[1][0].finish_reason == "stop"
        assert end not in answers[1][0].ids
    finally:
        for engine in engines:
            engine.llm.generation_config.eos_token_id = None


@needs_vllm
def test_stop_strings_cut_the_same_text(engines):
    built_in, vllm = engines
    free = built_in.generate(clips(), replace(GREEDY, max_new_tokens=60))
    stops = {m[0] for c in chain(*free) if (m := re.search("[ -~]{2}", c.text[4:]))}
    stopping = replace(GREEDY, max_new_tokens=60, stop=("absent", *sorted(stops)))
    answers = vllm.generate(clips(), stopping)
    assert answers == built_in.generate(clips(), stopping)
    assert "stop_string" in {c.finish_reason for c in chain(*answers)}
    assert vllm.generate(clips(), GREEDY) == built_in.generate(clips(), GREEDY)  # nothing of the cut ones is left


@needs_vllm
def test_streamed_pieces_make_the_text(engines):
    built_in, vllm = engines
    visual, prompts = clips()[0]
    pieces = []
    streamed = vllm.generate([(visual, prompts[:1])], GREEDY, on_text=pieces.append)
    assert streamed == built_in.generate([(visual, prompts[:1])], GREEDY)
    assert "".join(pieces) == streamed[0][0].text
    assert len(pieces) > 1


@needs_vllm
def test_answers_end_at_the_last_position(engines):
    prompt = [1, VISUAL, VISUAL, *[7] * 250]
    made = [engine.generate([(torch.zeros(2, 128), [prompt])], GREEDY)[0][0] for engine in engines]
    assert made[0] == made[1]
    assert len(made[1].ids) <= 3


@needs_vllm
def test_sampled_answers_depend_on_their_own_request(engines):
    _, vllm = engines
    keys = [[f"{i}.{j}" for j in range(len(prompts))] for i, (_, prompts) in enumerate(clips())]
    together = vllm.generate(clips(), SAMPLED, keys=keys)
    visual, prompts = clips()[1]
    assert vllm.generate([(visual, prompts[2:3])], SAMPLED, keys=[["1.2"]]) == [[together[1][2]]]
    other = vllm.generate([(visual, prompts[2:3])], replace(SAMPLED, seed=4), keys=[["1.2"]])
    assert other != [[together[1][2]]]


@needs_vllm
def test_bad_prompts_are_refused_and_the_engine_goes_on(engines):
    built_in, vllm = engines
    bad = [
        (torch.zeros(2, 128), [1, VISUAL, 2], "reserves 1 visual tokens but the connector made 2"),
        (torch.zeros(2, 64), [1, VISUAL, VISUAL, 2], r"\(2, 64\); expected \(n, 128\)"),
        (torch.zeros(2, 128), [1, VISUAL, VISUAL, 263], "token id 263 but the LLM embeds 263"),
        (torch.zeros(2, 128), [1, VISUAL, VISUAL, *[7] * 253], "takes fewer than 256"),
    ]
    for visual, prompt, message in bad:
        with pytest.raises(ValueError, match=message):
            vllm.generate([*clips(), (visual, [prompt])], GREEDY)
    assert vllm.generate(clips(), GREEDY) == built_in.generate(clips(), GREEDY)


@needs_vllm
def test_the_llm_is_given_up_and_one_engine_lives_at_a_time(engines):
    _, vllm = engines
    loaded = [name for name, p in vllm.llm.named_parameters() if not p.is_meta]
    assert loaded == ["model.embed_tokens.weight"]
    with pytest.raises(ValueError, match="one vLLM engine at a time"):
        VLLMEngine(llm("llama"), tokenizer())


@needs_vllm
def test_heads_too_narrow_for_the_kernels_are_refused():
    with pytest.raises(ValueError, match=r"heads are 8 wide; vLLM's attention on the CPU takes 32, .*--engine builtin"):
        VLLMEngine(tiny("llama"), tokenizer())


@needs_vllm
def test_threads_can_still_be_set(engines):
    torch.set_num_threads(2)
    assert torch.get_num_threads() == 2


def test_several_devices_are_vllms_to_fill(monkeypatch):
    """What vLLM would be told; it is not run."""
    told = []
    fake = SimpleNamespace(
        EngineArgs=lambda **options: options, LLMEngine=SimpleNamespace(from_engine_args=told.append)
    )
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.setitem(
        sys.modules, "videollm.engines.vllm_penalty", SimpleNamespace(GeneratedTokensPenalty=None, PENALTY="")
    )
    for number in (1, 4):
        _start("folder", llm("qwen2"), VLLMEngine.Config(num_devices=number))
    assert [(t["tensor_parallel_size"], t["distributed_executor_backend"]) for t in told] == [(1, "uni"), (4, "mp")]


@needs_vllm
def test_texts_of_one_token_are_scored_as_by_the_built_in_engine(engines):
    """Beside prompts that are answered, with settings that mean nothing to scores; a longer text is refused."""
    built_in, vllm = engines
    texts = [[[], [[5], [9], [200]], [[7]]], [[], [[1], [1]], [], [], [[255], [0]]], [[[3]], []], [[]]]
    odd = replace(GREEDY, temperature=0.7, repetition_penalty=1.3, top_p=0.5)
    made = vllm.generate(clips(), odd, continuations=texts)
    expected = built_in.generate(clips(), odd, continuations=texts)
    for mine, theirs, given in zip(chain(*made), chain(*expected), chain(*texts), strict=True):
        assert (mine.finish_reason == "scored") == bool(given)
        assert mine.scores == pytest.approx(theirs.scores, abs=1e-4)
        assert len(mine.scores) == len(given)
    with pytest.raises(UserError, match=r"a continuation has 2\. Score texts of one token"):
        vllm.generate(clips()[:1], GREEDY, continuations=[[[], [[5, 9]], []]])
    with pytest.raises(UserError, match="at most 128 tokens at once; got 200"):
        vllm.generate(clips()[:1], GREEDY, continuations=[[[], [[i] for i in range(200)], []]])
    assert vllm.generate(clips(), GREEDY) == built_in.generate(clips(), GREEDY)
