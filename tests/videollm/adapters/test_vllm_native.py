"""`--engine vllm-native`: our frames in, the tokens of the golden data out. Most needs vLLM and torchvision."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videollm
from tests.support.official import clip
from tests.support.paths import GOLDEN
from tests.support.tensors import read
from tests.videollm.adapters.test_transformers import These
from videollm.errors import UserError
from videollm.types import Clip, FrameBatch, Generation, Request

WITH_VLLM = all(find_spec(name) is not None for name in ("vllm", "torchvision"))
needs_vllm = pytest.mark.skipif(not WITH_VLLM, reason="vLLM and torchvision are not installed (`vllm`, `peers`)")
NAMES = ("qwen3vl", "internvl3")
GREEDY = Generation(max_new_tokens=24)


class Case:
    """A tiny checkpoint in vLLM, and what the released code makes of a clip."""

    def __init__(self, name: str) -> None:
        self.folder = GOLDEN / f"{name}_tiny"
        self.tensors, facts = read(self.folder / "golden.safetensors.gz")
        self.question = facts["question"]
        self.model: Any = self.load("vllm-native", {"max_model_len": 4096})
        wanted = These(wanted=tuple(self.tensors["frame_indices"].tolist()))
        self.frames = self.model.decode(clip(facts["video"]), sampling=wanted)

    def load(self, engine: str, config: dict[str, Any] | None = None) -> Any:
        return videollm.load(self.folder, engine=engine, device="cpu", dtype="float32", engine_config=config)

    def answers(self, *questions: str, **settings: Any) -> list[Any]:
        return self.model.answer(self.frames, [*questions], generation=replace(GREEDY, **settings))  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    made = Case(request.param)
    yield made
    del made.model  # a process holds one engine at a time


@needs_vllm
def test_tokens_are_those_of_the_golden_data(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    answer_of = case.model.answer_of
    monkeypatch.setattr(case.model, "answer_of", lambda prompt, *rest: made.append(prompt) or answer_of(prompt, *rest))
    first, again = case.answers(case.question, case.question)
    assert first == again
    visual = case.model.visual

    def masked(ids: Any) -> list[int]:
        # Where features go there may be another id: vLLM repeats <video> in prompts of InternVL, not <IMG_CONTEXT>.
        return [-1 if i in visual else i for i in ids]

    golden = case.tensors["input_ids"][0].tolist()
    for prompt in made:
        assert prompt.generated == case.tensors["generated_ids"][0].tolist()
        if case.folder.name != "qwen3vl_tiny":  # transformers repeats <|vision_start|> there, see docs/adapters.md
            assert masked(prompt.ids) == masked(golden)
    assert first.num_visual_tokens == sum(i in visual for i in golden) > 0
    assert "<video>" in first.prompt
    assert "<video><video>" not in first.prompt
    assert first.engine.startswith("vllm ")
    assert first.frames_sent == "video"


@needs_vllm
def test_settings_mean_what_they_mean_to_transformers(case: Case) -> None:
    other = case.load("transformers")
    (free,) = case.answers("What moves?")
    for settings in ({"repetition_penalty": 1.3}, {"stop": (free.text[3:5],)}, {"max_new_tokens": 3}):
        (here,) = case.answers("What moves?", **settings)
        there = other.answer(case.frames, "What moves?", generation=replace(GREEDY, **settings))
        told = [(a.text, a.finish_reason, a.num_generated_tokens) for a in (here, there)]
        assert told[0] == told[1]
        assert here.text != free.text


@needs_vllm
def test_streamed_pieces_make_the_text(case: Case) -> None:
    pieces: list[str] = []
    (whole,) = case.answers("What moves?")
    streamed = case.model.answer(case.frames, "What moves?", generation=GREEDY, on_text=pieces.append)
    assert streamed == whole
    assert "".join(pieces).strip() == whole.text
    assert len(pieces) > 1


def test_frames_have_one_name_as_long_as_they_are_the_same() -> None:
    from videollm.adapters.serving import name_of

    def frames(**changes: Any) -> FrameBatch:
        pixels = np.zeros((2, 4, 6, 3), np.uint8)
        return FrameBatch(**{"frames": pixels, "indices": (0, 5), "seconds": (0.0, 0.5), "fps": 10.0, **changes})

    brighter = np.ones((2, 4, 6, 3), np.uint8)
    turned = np.zeros((2, 6, 4, 3), np.uint8)
    others = ({"frames": brighter}, {"frames": turned}, {"indices": (0, 6)}, {"fps": 12.0}, {"num_in_range": 9})
    assert name_of(frames()) == name_of(frames())
    assert len({name_of(frames()), *[name_of(frames(**changes)) for changes in others]}) == 1 + len(others)


@needs_vllm
def test_a_process_holds_one(case: Case) -> None:
    with pytest.raises(UserError, match="one vLLM engine at a time"):
        case.load("vllm-native")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"vllm-native needs the package vllm.*videollm\[vllm\].*--engine transformers"):
        videollm.load(Path("some/model"), engine="vllm-native")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_devices": 0}, "num_devices is 0"), ({"gpu_share": 1.5}, "gpu_share is 1.5"), ({"share": 1}, "share")],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    from videollm.adapters.vllm_native import VLLMNative
    from videollm.checkpoints import Options

    with pytest.raises(UserError, match=message):
        VLLMNative.config(Options(name="some/model", engine="vllm-native", engine_config=settings))


@needs_vllm
def test_what_is_refused_fails_alone_and_names_are_text(case: Case) -> None:
    (visual,) = case.model.connect(case.model.encode_frames([case.frames]))
    asked = ["What moves?", "word " * 5000, "What is <|im_end|>?"]
    requests = [Request(id=str(i), clip=Clip(video=""), question=q) for i, q in enumerate(asked)]
    running = case.model.start(GREEDY)
    running.add("a", visual, requests)
    running.add("b", visual, requests[:1])
    done: dict[Hashable, list[Any]] = {}
    while running.num_clips:
        done |= {ended.key: ended.outcomes for ended in running.advance()}
    good, refused, named = done["a"]
    assert good == done["b"][0] == case.answers(asked[0])[0]
    assert isinstance(refused, UserError)
    assert "vLLM refuses the prompt" in str(refused)
    assert "U+200B" in named.note
    assert "<\u200b|im_end|>" in named.prompt


@needs_vllm
def test_texts_of_one_token_are_scored_and_texts_alone_are_answered(case: Case) -> None:
    whole, texts = case.load("transformers"), ["a", "b", "7"]
    for shown in (case.frames, None):
        made = case.model.score(shown, case.question, texts)
        assert made == pytest.approx(whole.score(shown, case.question, texts), abs=1e-3)
        asked = Request(id="a", clip=Clip(video=""), question=case.question, seen=shown is not None)
        visual = None if shown is None else case.model.encode([shown])[0]
        (mine,), (theirs,) = (m.answer_batch([(visual, [asked])], GREEDY)[0] for m in (case.model, whole))
        assert (mine.text, mine.num_prompt_tokens) == (theirs.text, theirs.num_prompt_tokens)
    with pytest.raises(UserError, match=r"a continuation has \d+. Score texts of one token"):
        case.model.score(None, case.question, ["many words here"])
