"""Steps in a fixed form, recorded and done again: on a CPU operation by operation, as a CUDA graph would."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

import videollm
from tests.support.tiny_llms import LLMS, clips, llm, tokenizer
from tests.videollm.engines.test_parallel import answers as answers_of
from tests.videollm.engines.test_parallel import golden
from tests.videollm.engines.test_running import SAMPLED, SIZES, answers, prompts_of, run
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.fixed import rounded
from videollm.engines.graphs import MOST
from videollm.engines.prompt import Prefix
from videollm.engines.recorders import NotFixedError, OperationRecorder
from videollm.engines.running import RunningBatch
from videollm.types import Generation

GREEDY = Generation(max_new_tokens=12)
ORDINARY = {"qwen2-sliding", "mistral-sliding", "qwen3.5"}
"""LLMs whose steps are not recorded."""


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often steps ran, were recorded and were replayed."""
    counted = dict.fromkeys(("run", "record", "replay"), 0)

    def count(name: str) -> None:
        inner = getattr(OperationRecorder, name)

        def called(self):
            made = inner(self)
            counted[name] += 1
            return made

        monkeypatch.setattr(OperationRecorder, name, called)

    for name in counted:
        count(name)
    return counted


def engines(model) -> tuple[BuiltinEngine, BuiltinEngine]:
    """One that records steps, and one that does not."""
    return (
        BuiltinEngine(model, tokenizer(), BuiltinEngine.Config(capture=True)),
        BuiltinEngine(model, tokenizer(), BuiltinEngine.Config(capture=False)),
    )


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", LLMS)
def test_answers_are_those_of_ordinary_steps(name: str, generation: Generation, counts: dict[str, int]) -> None:
    captured, ordinary = engines(llm(name))
    assert captured.generate(clips(32, *SIZES), generation) == ordinary.generate(clips(32, *SIZES), generation)
    if name in ORDINARY:
        assert "sliding windows or recurrent layers" in (captured.capturing.fault or "")
        assert sum(counts.values()) == 0
    else:
        assert captured.capturing.fault is None
        assert counts["replay"] > counts["record"] > 0


@pytest.mark.parametrize("name", ["qwen3", "mixtral"])
def test_answers_do_not_depend_on_who_comes_when(name: str, counts: dict[str, int]) -> None:
    captured, ordinary = engines(llm(name))
    alone = prompts_of(ordinary, SAMPLED)
    run(ordinary.start(SAMPLED), alone, random.Random(0))
    for seed in range(2):
        rng = random.Random(seed)
        arriving = prompts_of(captured, SAMPLED)
        rng.shuffle(arriving)
        batch = captured.start(SAMPLED, max_prompts=rng.choice([None, 3, 7]))
        run(batch, arriving, rng)
        assert answers(arriving) == answers(alone)
        assert isinstance(batch, RunningBatch)
        assert batch.captured is not None
        assert len(batch.captured.steps) <= MOST
        assert batch.num_prompts == batch.num_tokens == 0
    assert counts["replay"] > 0


def test_one_recording_serves_while_rows_stay(counts: dict[str, int]) -> None:
    captured, _ = engines(llm())
    captured.generate(clips(32, (5, 3), (12, 2)), Generation(max_new_tokens=12))
    # The first token comes with the prompt; then a step of one form: it runs, is recorded, and is replayed.
    assert counts == {"run": 1, "record": 1, "replay": 10}


@torch.inference_mode()
def test_rows_that_are_not_in_use_do_not_matter() -> None:
    captured, ordinary = engines(llm())
    prompts = {engine: prompts_of(engine, GREEDY) for engine in (captured, ordinary)}
    for engine, arriving in prompts.items():
        batch = engine.start(GREEDY)
        assert isinstance(batch, RunningBatch)
        for clip in arriving:
            batch.join(*clip)
        while batch.num_prompts:
            batch.advance()
            for rows in (batch.own_rows, batch.shared_rows):
                for pool in {place.pool for place in rows.places()}:
                    for tensors in pool._layers.values():
                        for tensor in tensors:
                            tensor[len(pool.places) :] = 1e4
                            for place in pool.places:
                                tensor[place.index, :, place.length :] = 1e4
    assert answers(prompts[captured]) == answers(prompts[ordinary])


def test_prompts_that_come_and_go_between_steps_are_noticed(counts: dict[str, int]) -> None:
    """Whose answer is one token takes rows and gives them back before a step: pools may lie elsewhere then."""
    made = []
    for engine in engines(llm()):
        batch = engine.start(GREEDY)
        assert isinstance(batch, RunningBatch)
        ((visual, ids),) = clips(32, (12, 3))
        stay = [engine.prompt(i, range(len(i) + 1), str(n), 12, GREEDY) for n, i in enumerate(ids)]
        batch.join(Prefix(tokens=visual), stay)
        for step in range(12):
            for n, (more, (also, *_)) in enumerate(clips(32, *[(12, 1)] * step)):
                batch.join(Prefix(tokens=more), [engine.prompt(also, range(len(also) + 1), f"{step}/{n}", 1, GREEDY)])
            batch.advance()
        made.append([p.generated for p in stay])
    assert made[0] == made[1]
    assert counts["run"] > 1


@pytest.mark.parametrize(
    "name", ["qwen25vl_tiny", "minigemini_tiny", pytest.param("qwen3vl_tiny", marks=pytest.mark.slow)]
)
def test_models_answer_as_ever(name: str, tmp_path: Path, counts: dict[str, int]) -> None:
    """Positions of three components, tokens for later layers, and a plain one."""
    folder, video = golden(name, tmp_path)
    captured, ordinary = (
        videollm.load(folder, device="cpu", engine_config={"capture": capture}) for capture in (True, False)
    )
    for generation in (GREEDY, SAMPLED):
        assert answers_of(captured, video, generation) == answers_of(ordinary, video, generation)
    assert [m.describe().steps for m in (captured, ordinary)] == ["captured", None]
    assert counts["replay"] > 0


@pytest.mark.parametrize("fails", ["run", "record"])
def test_what_cannot_be_recorded_runs_as_ever(fails: str, caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    model = llm()
    captured, ordinary = engines(model)
    expected = ordinary.generate(clips(32, *SIZES), SAMPLED)
    inner = model.model.layers[1].mlp.forward

    def waits(x: Tensor) -> Tensor:
        if float(x.sum()) > 1e30:
            raise AssertionError
        return inner(x)

    if fails == "run":
        model.model.layers[1].mlp.forward = waits
    else:
        monkeypatch.setattr(OperationRecorder, "record", lambda self: torch.zeros(2)[3])
    with caplog.at_level(logging.WARNING):
        said = captured.try_steps()
        for _ in range(2):
            assert captured.generate(clips(32, *SIZES), SAMPLED) == expected
    (told,) = [r.getMessage() for r in caplog.records if r.name == "videollm.engines.graphs"]
    assert ("waits for the device" if fails == "run" else "IndexError: index 3") in told
    assert captured.capturing.fault is not None
    assert captured.capturing.fault in told
    assert said == captured.try_steps() == f"ordinary: {captured.capturing.fault}"


def test_by_default_steps_are_recorded_on_a_gpu_alone() -> None:
    assert not BuiltinEngine(llm(), tokenizer()).capturing.works


def test_a_replay_depends_on_tensors_alone() -> None:
    given, factor = torch.ones(3), 2.0
    recorder = OperationRecorder(lambda: (given * factor).view(3, 1).add_(1).sum(1))
    assert recorder.run().tolist() == [3, 3, 3]
    recorder.record()
    given += 1
    factor = 100.0
    assert recorder.replay().tolist() == [5, 5, 5]


def test_a_replay_refuses_tensors_that_moved() -> None:
    given = torch.ones(3)
    recorder = OperationRecorder(lambda: given + 1)
    recorder.record()
    given.data = torch.ones(4)
    with pytest.raises(RuntimeError, match="moved after they were recorded"):
        recorder.replay()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * float(x.sum()),
        lambda x: x[x > 0],
        lambda x: x if bool((x > 0).all()) else -x,
        lambda x: x + torch.tensor([1.0, 2.0, 3.0]),
        lambda x: x.nonzero(),
        lambda x: x.to("meta"),
    ],
)
def test_what_waits_for_the_device_is_refused(function) -> None:
    given = torch.ones(3)
    with torch.inference_mode(), pytest.raises(NotFixedError):
        OperationRecorder(lambda: function(given)).run()


@pytest.mark.parametrize(("number", "most", "expected"), [(1, 9, 1), (3, 9, 4), (8, 9, 8), (9, 9, 9), (33, None, 64)])
def test_numbers_of_rows_are_few(number: int, most: int | None, expected: int) -> None:
    assert rounded(number, most) == expected
