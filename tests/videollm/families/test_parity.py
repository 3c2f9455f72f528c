"""Parity of every family with its official code, on whole tiny checkpoints and real clips."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import videollm
from pipelines.cli import main as cli
from tests.support.families import CASES, FamilyCase
from tests.support.official import Golden, clip
from videollm.checkpoints import FAMILIES
from videollm.engines import packing
from videollm.models.protocol import Visual
from videollm.types import Answer, Clip, FrameBatch, Generation, Request
from videollm.video.sampling import Sampling

OTHERS = ("sample_demo_9.mp4", "video_90.mov", "sample_demo_1.mp4")
GREEDY = Generation(max_new_tokens=24)
GREEDY_FLAGS = ("--max-new-tokens", "24", "--temperature", "0", "--repetition-penalty", "1")
"""Instead of the checkpoint's own settings, which sample."""
QUESTIONS = ("What is happening in this video?", "Who?", "Describe the colours, and what moves where.")


@lru_cache(maxsize=1)
def official_tolerance(golden: Golden) -> float:
    """Distance from the golden visual tokens to exact arithmetic (float64), where that is more than 1e-5.

    The golden tokens are float32 of one machine: that of another cannot be asked to come nearer to them than the truth.
    """
    exact = deepcopy(golden.model).double().encode([golden.decode()])[0].tokens
    expected = tokens_of(golden)
    return max(1e-5, float((exact - expected).abs().max() / expected.abs().max()))


def tokens_of(golden: Golden) -> Tensor:
    made = golden.tensors["visual_tokens"]
    return made.reshape(-1, made.shape[-1])


@lru_cache(maxsize=1)
def visual_of(golden: Golden) -> Visual:
    return golden.model.encode([golden.decode()])[0]


@lru_cache(maxsize=1)
def answer_of(golden: Golden) -> Answer:
    """Of the frames, to the question of the golden data."""
    return golden.model.answer(golden.decode(), golden.facts["question"], generation=GREEDY)


def near(made: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Within a tolerance that counts from the largest value."""
    return made.shape == expected.shape and float((made - expected).abs().max() / expected.abs().max()) <= tolerance


def logits(golden: Golden, visual: Visual, number: int) -> Tensor:
    """Those of the last tokens of the prompt."""
    ids, positions, _ = golden.model.write_prompt(visual, golden.facts["question"])
    row = torch.tensor([ids])
    with torch.inference_mode():
        embeds = packing.embed(row, [visual.tokens], golden.model.llm.get_input_embeddings())
        made: Tensor = golden.model.llm(
            inputs_embeds=embeds,
            attention_mask=packing.attention_mask(torch.zeros_like(row), torch.zeros_like(row)),
            position_ids=packing.pad_positions([positions[:-1]]),
            logits_to_keep=number,
            **packing.deepstack(row, [visual.deep], embeds),
        ).logits
    return made[0]


def short(golden: Golden, case: FamilyCase, name: str | None = None) -> FrameBatch:
    """Few frames of a clip, whatever its length."""
    return golden.decode(name, sampling=Sampling.from_dict({**asdict(golden.model.sampling), **case.short}))


def ask(question: str) -> Request:
    return Request(id=question, clip=Clip(video=""), question=question)


def test_every_family_has_a_case() -> None:
    assert {kind for case in CASES.values() for kind in case.kinds} == set(FAMILIES.builtin) - {"videollm"}


def test_frames_and_pixels_are_exact(golden: Golden, case: FamilyCase) -> None:
    batch = golden.decode()
    assert list(batch.indices) == golden.tensors["frame_indices"].tolist()
    pairs = case.pixels(golden, batch)
    assert pairs
    for made, expected in pairs:
        assert torch.equal(made, expected) if case.pixel_bound == 0 else near(made, expected, case.pixel_bound)


def test_visual_tokens_ids_positions_and_logits(golden: Golden, case: FamilyCase) -> None:
    visual = visual_of(golden)
    assert near(visual.tokens, tokens_of(golden), official_tolerance(golden))
    for made, expected in case.inner(golden, visual):
        assert near(made, expected, 1e-5)
    ids, positions, text = golden.model.write_prompt(visual, golden.facts["question"])
    official = {**golden.tensors, **{k.removeprefix(case.published): v for k, v in golden.tensors.items()
                                     if case.published and k.startswith(case.published)}}  # fmt: skip
    assert case.ids(ids) == official["input_ids"].flatten().tolist()
    if "position_ids" in official:
        assert torch.equal(packing.pad_positions([positions[:-1]]).squeeze(), official["position_ids"].squeeze())
    if golden.facts.get("prompt", "").count("<video>") == text.count("<video>"):  # not written out for single frames
        assert text == golden.facts["prompt"]
    expected = official["logits" if "logits" in official else "last_logits"]
    expected = expected.reshape(-1, expected.shape[-1])
    assert near(logits(golden, visual, len(expected)), expected, 1e-4)


def test_greedy_answer(golden: Golden, case: FamilyCase) -> None:
    answer = answer_of(golden)
    expected = golden.tensors[f"{case.published}generated_ids"].flatten().tolist()
    text = golden.model.tokenizer.decode(expected, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert answer.text == text.strip()
    assert answer.num_generated_tokens in (len(expected), len(expected) - 1)  # an end token is not counted


@pytest.mark.parametrize("size", [2, 4])
def test_batches_of_different_clips_equal_single_clips(golden: Golden, case: FamilyCase, size: int) -> None:
    batches = [golden.decode(), *(short(golden, case, name) for name in OTHERS[: size - 1])]
    single = [visual_of(golden), *(golden.model.encode([b])[0] for b in batches[1:])]
    batched = golden.model.encode(batches)
    requests = [ask(golden.facts["question"])]
    answers = golden.model.answer_batch([(v, requests) for v in batched], GREEDY)
    for alone, together, answer in zip(single, batched, answers, strict=True):
        assert alone.layout == together.layout
        assert near(together.tokens, alone.tokens, 1e-5)
        assert answer == golden.model.answer_batch([(alone, requests)], GREEDY)[0]
    assert near(batched[0].tokens, tokens_of(golden), official_tolerance(golden))


def test_questions_on_one_clip_share_its_prefix(golden: Golden, case: FamilyCase) -> None:
    visuals = golden.model.encode([short(golden, case), short(golden, case, OTHERS[0])])
    together = golden.model.answer_batch([(v, [ask(q) for q in QUESTIONS]) for v in visuals], GREEDY)
    alone = [[golden.model.answer_batch([(v, [ask(q)])], GREEDY)[0][0] for q in QUESTIONS] for v in visuals]
    assert together == alone
    assert len({answer.text for of_clip in together for answer in of_clip}) > 1


def test_the_number_of_tokens_is_known_before(golden: Golden, case: FamilyCase) -> None:
    other = short(golden, case, OTHERS[0])
    for batch, visual in ((golden.decode(), visual_of(golden)), (other, golden.model.encode([other])[0])):
        height, width = batch.frames.shape[1:3]
        counted = golden.model.num_visual_tokens(len(batch.frames), height, width, packing=batch.packing)
        made = len(visual.tokens)
        assert made <= counted if golden.model.connector.varies else made == counted


def test_a_saved_model_is_the_same_model(golden: Golden, case: FamilyCase, tmp_path: Path) -> None:
    golden.model.save(tmp_path)
    again = videollm.load(tmp_path, device="cpu")
    batch = short(golden, case)
    visual, expected = again.encode([batch])[0], golden.model.encode([batch])[0]
    assert torch.equal(visual.tokens, expected.tokens)
    assert again.answer(visual, "What?", generation=GREEDY) == golden.model.answer(expected, "What?", generation=GREEDY)
    assert (again.prompt.system, again.generation) == (golden.model.prompt.system, golden.model.generation)


def test_through_the_command_line(golden: Golden, case: FamilyCase, capsys: pytest.CaptureFixture[str]) -> None:
    video, question = str(clip(golden.facts["video"])), golden.facts["question"]
    options = ["--model", str(golden.folder), "--device", "cpu", *GREEDY_FLAGS, *case.flags]
    cli.main(["ask", video, question, *options])
    assert capsys.readouterr().out.strip() == answer_of(golden).text.strip()


def test_through_a_batch_job_with_a_feature_cache(golden: Golden, case: FamilyCase, tmp_path: Path) -> None:
    row = {"id": "golden", "video": str(clip(golden.facts["video"])), "question": golden.facts["question"]}
    (tmp_path / "questions.jsonl").write_text(json.dumps(row) + "\n")
    options = ["--model", str(golden.folder), "--device", "cpu", "--format", "jsonl", *GREEDY_FLAGS, *case.flags,
               "--feature-cache", str(tmp_path / "cache")]  # fmt: skip
    expected = answer_of(golden)
    for output in ("cold", "warm"):
        cli.main(["answer", str(tmp_path / "questions.jsonl"), "-o", str(tmp_path / output), *options])
        (shard,) = (tmp_path / output).glob("part-*.jsonl")
        (made,) = (json.loads(line) for line in shard.read_text().splitlines())
        assert (made["status"], made["answer"]) == ("ok", expected.text)
        assert made["frame_indices"] == golden.tensors["frame_indices"].tolist()
        assert made["num_visual_tokens"] == expected.num_visual_tokens
