"""Requests about text alone: the LLM's own answers to the family's chat form, in the batch of those about a clip."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForImageTextToText

from tests.support.families import FamilyCase
from tests.support.official import Golden
from tests.videollm.families.test_parity import ask, short
from videollm.models.protocol import Visual
from videollm.types import Clip, Generation, Request

GREEDY = Generation(max_new_tokens=12)
TEXTS = ("What follows from these notes?\n[00:00:05-00:00:10] a red ball\n[00:00:10-00:00:15] a dog", "Sum up: one.")


@pytest.fixture(scope="module")
def visual(case: FamilyCase, golden: Golden) -> Visual:
    return golden.model.encode([short(golden, case)])[0]


def about_text(text: str, **fields: object) -> Request:
    return Request(id=text, clip=Clip(video="a.mp4", end=30.0), question=text, seen=False, **fields)  # type: ignore[arg-type]


def chat_form(golden: Golden, text: str) -> list[int]:
    """The ids of a chat without pictures, by the tokenizer alone."""
    prompt, tokenizer = golden.model.prompt, golden.model.tokenizer
    user = {"role": "user", "content": [{"type": "text", "text": text}] if prompt.placeholder else text}
    system = []
    if prompt.system:
        words = prompt.system_format.format(prompt.system)
        system = [{"role": "system", "content": [{"type": "text", "text": words}] if prompt.placeholder else words}]
    options = {
        "chat_template": prompt.template,
        "tokenize": False,
        "add_generation_prompt": True,
        "enable_thinking": False,
    }
    try:
        written = tokenizer.apply_chat_template([*system, user], **options)
    except Exception:  # a template without a system role
        user["content"] = f"{prompt.system}\n\n{text}"
        written = tokenizer.apply_chat_template([user], **options)
    assert "<video>" not in written
    begin = [tokenizer.bos_token_id] if prompt.begin else []
    return [*begin, *tokenizer(written, add_special_tokens=False)["input_ids"]]


def by_transformers(golden: Golden, ids: list[int]) -> list[int]:
    llm = golden.model.llm
    if not hasattr(llm, "generate"):  # a text model of transformers, without the class that generates by it
        llm = AutoModelForImageTextToText.from_pretrained(golden.folder, dtype=torch.float32).eval()
    ends = sorted(golden.model.engine.end_ids)
    with torch.inference_mode():
        made = llm.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            max_new_tokens=12,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=ends,
            pad_token_id=0,
        )[0, len(ids) :].tolist()
    return made[: next((i for i, token in enumerate(made) if token in ends), len(made))]


def test_the_llm_answers_as_it_does_alone(golden: Golden, visual: Visual) -> None:
    model = golden.model
    asked = [about_text(text) for text in TEXTS]
    (seen, mixed), (unseen,) = model.answer_batch([(visual, [ask("Who?"), asked[0]]), (None, asked[1:])], GREEDY)
    for text, answer in zip(TEXTS, (mixed, unseen), strict=True):
        ids = chat_form(golden, text)
        assert model.write_prompt(model._nothing, text)[0] == ids
        assert answer.num_prompt_tokens == len(ids)
        assert (answer.num_visual_tokens, answer.frame_indices, answer.frame_seconds) == (0, (), ())
        assert "<video>" not in answer.prompt
        assert answer.text == model.tokenizer.decode(by_transformers(golden, ids), skip_special_tokens=True).strip()
    assert seen == model.answer_batch([(visual, [ask("Who?")])], GREEDY)[0][0]


def test_running_batches_take_them_beside_clips(golden: Golden, visual: Visual) -> None:
    model = golden.model
    items = [(visual, [ask("Who?")]), (None, [about_text(TEXTS[0]), about_text(TEXTS[1], continuations=("a b", "c"))])]
    answering = model.start(GREEDY)
    for i, (shown, requests) in enumerate(items):
        answering.add(i, shown, requests)
    ends = {}
    while answering.num_clips:
        ends |= {ended.key: ended.outcomes for ended in answering.advance()}
    made, expected = [ends[0], ends[1]], model.answer_batch(items, GREEDY)
    assert [[a.text for a in of_clip] for of_clip in made] == [[a.text for a in of_clip] for of_clip in expected]
    assert made[1][1].scores == pytest.approx(expected[1][1].scores, abs=1e-4)
    assert made[1][1].scores == pytest.approx(model.score(None, TEXTS[1], ["a b", "c"]), abs=1e-4)


def test_scores_are_those_of_a_plain_forward(golden: Golden, visual: Visual) -> None:
    """On a clip, with the family's positions and what it adds in later layers."""
    model = golden.model
    (answer,) = model.answer_batch([(visual, [ask("Who?")])], GREEDY)[0]
    texts = ["a red ball", "b", answer.text or "none"]
    made = model.score(visual, "Who?", texts)
    assert len(set(made)) > 1
    for text, score in zip(texts, made, strict=True):
        assert score == pytest.approx(_alone(golden, visual, text), abs=1e-3)


def _alone(golden: Golden, visual: Visual, text: str) -> float:
    """By one token after the other, each behind a prompt of its own."""
    from videollm.engines import packing

    model = golden.model
    ids, positions, _ = model.write_prompt(visual, "Who?")
    total = 0.0
    for token in model.prompt.continuation(text):
        row = torch.tensor([ids])
        with torch.inference_mode():
            embeds = packing.embed(row, [visual.tokens], model.llm.get_input_embeddings())
            logits = model.llm(
                inputs_embeds=embeds,
                attention_mask=packing.attention_mask(torch.zeros_like(row), torch.zeros_like(row)),
                position_ids=packing.pad_positions([positions[: len(ids)]]),
                logits_to_keep=1,
                **packing.deepstack(row, [visual.deep], embeds),
            ).logits[0, -1]
        total += float(logits.double().log_softmax(-1)[token])
        ids, positions = [*ids, token], [*positions, packing.further(positions[-1], 1)]
    return total
