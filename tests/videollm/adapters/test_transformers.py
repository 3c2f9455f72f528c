"""`--engine transformers`: our frames in, the tokens of transformers' own code out. Most needs the extra `peers`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import videollm
from tests.support.official import clip
from tests.support.paths import GOLDEN
from tests.support.tensors import read
from videollm.engines.sampler import Sampler
from videollm.errors import UserError
from videollm.types import Clip, Generation, Request
from videollm.video.sampling import Sampling
from videollm.video.sampling.base import Sampled

needs_torchvision = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="torchvision (`peers`) is not installed"
)
NAMES = ("qwen25vl", "qwen3vl", "internvl3", "llava_onevision", "videollama3")


@dataclass(frozen=True, kw_only=True)
class These(Sampling):
    """The frames of the golden data."""

    wanted: tuple[int, ...] = ()

    def choose(self, timeline: Any, frames: range, start: float) -> Sampled:
        return Sampled(self.wanted)


def load(name: str) -> Any:
    return videollm.load(GOLDEN / f"{name}_tiny", engine="transformers", device="cpu")


@needs_torchvision
@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_those_of_generate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, facts = read(GOLDEN / f"{name}_tiny" / "golden.safetensors.gz")
    model = load(name)
    made: list[Any] = []
    generate = model._generate

    def watched(inputs: Any, prompt: Any, *rest: Any) -> None:
        made.append(prompt)
        generate(inputs, prompt, *rest)

    monkeypatch.setattr(model, "_generate", watched)
    batch = model.decode(clip(facts["video"]), sampling=These(wanted=tuple(tensors["frame_indices"].tolist())))
    answers = model.answer(batch, [facts["question"]] * 2, generation=Generation(max_new_tokens=24))
    for prompt in made:
        assert prompt.ids == tensors["input_ids"][0].tolist()
        assert prompt.generated == tensors["generated_ids"][0].tolist()
    assert answers[0] == answers[1]
    assert answers[0].num_visual_tokens > 0
    assert answers[0].engine.startswith("transformers ")


@needs_torchvision
@pytest.mark.parametrize("name", ["qwen3vl", "videollama3"])
def test_frames_are_those_the_processor_chooses(name: str) -> None:
    tensors, facts = read(GOLDEN / f"{name}_tiny" / "golden.safetensors.gz")
    assert load(name).decode(clip(facts["video"])).indices == tuple(tensors["frame_indices"].tolist())


@needs_torchvision
def test_names_of_control_tokens_are_text() -> None:
    model = load("qwen25vl")
    _, facts = read(GOLDEN / "qwen25vl_tiny" / "golden.safetensors.gz")
    batch = model.decode(clip(facts["video"]), sampling=Sampling(policy="linspace", num_frames=4))
    short = Generation(max_new_tokens=2)
    plain, named = model.answer(batch, ["What?", "What is <|video_pad|>?"], generation=short)
    assert (plain.note, named.num_visual_tokens) == (None, plain.num_visual_tokens)
    assert "U+200B" in named.note
    assert "<\u200b|video_pad|>" in named.prompt


@needs_torchvision
def test_what_transformers_lacks_is_told() -> None:
    with pytest.raises(UserError, match=r"model_type 'videollm', for which transformers .* has no AutoModelFor"):
        videollm.load("tiny-stc", engine="transformers")


def test_missing_torchvision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UserError, match=r"torchvision.*videollm\[peers\].*--engine builtin.*qwen2_5_vl"):
        load("qwen25vl")


def test_parts_cannot_be_asked_for() -> None:
    with pytest.raises(UserError, match="runs as a whole: --connector"):
        videollm.load(Path("some/model"), engine="transformers", connector="stc")


@needs_torchvision
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_steps_of_generate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, facts = read(GOLDEN / f"{name}_tiny" / "golden.safetensors.gz")
    model = load(name)
    noted: list[tuple[int, float]] = []
    choose = Sampler.__call__

    def note(self: Sampler, logits: Any, *rest: Any) -> list[int]:
        chosen = choose(self, logits, *rest)
        noted.append((chosen[0], float(logits.float().log_softmax(-1)[0, chosen[0]])))
        return chosen

    monkeypatch.setattr(Sampler, "__call__", note)
    batch = model.decode(clip(facts["video"]), sampling=These(wanted=tuple(tensors["frame_indices"].tolist())))
    for shown in (batch, None):
        noted.clear()
        (visual,) = [None] if shown is None else model.encode([shown])
        asked = Request(id="a", clip=Clip(video=""), question=facts["question"], seen=shown is not None)
        model.answer_batch([(visual, [asked])], Generation(max_new_tokens=6))
        ids = [token for token, _ in noted]
        texts = {"one": ids[:1], "four": ids[:4], "two": ids[:2]}
        with monkeypatch.context() as patch:
            patch.setattr(model, "_continuation", lambda text, texts=texts: tuple(texts[text]))
            made = model.score(shown, facts["question"], [*texts])
        assert made == pytest.approx([sum(score for _, score in noted[: len(t)]) for t in texts.values()], abs=1e-4)


@needs_torchvision
@pytest.mark.parametrize("name", NAMES)
def test_texts_alone_are_answered_as_by_the_built_in_engine(name: str) -> None:
    model, ours = load(name), videollm.load(GOLDEN / f"{name}_tiny", device="cpu")
    question, texts = "Sum up: a man runs.", ["a red ball", "b", "a blue", "a"]
    assert model.score(None, question, texts) == pytest.approx(ours.score(None, question, texts), abs=1e-3)
    unseen = Request(id="a", clip=Clip(video=""), question=question, seen=False)
    short = Generation(max_new_tokens=12)
    (made,), (theirs,) = (m.answer_batch([(None, [unseen])], short)[0] for m in (model, ours))
    assert (made.text, made.num_prompt_tokens, made.num_visual_tokens) == (theirs.text, theirs.num_prompt_tokens, 0)
    assert (made.frames_sent, made.frame_indices) == ("none", ())
    with pytest.raises(UserError, match="is empty, or names a control token"):
        model.score(None, question, [model.processor.tokenizer.eos_token])
    assert model.describe().can_score
    assert model.describe().context_tokens == model.context_tokens == ours.context_tokens
