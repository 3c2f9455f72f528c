"""Any connector in the place of a family's own: it answers, and learns."""

from __future__ import annotations

import pytest
import torch

import videollm
from tests.support.families import CASES
from tests.support.official import read_golden
from tests.videollm.families.test_parity import ask, short
from videollm.training.data import Example, Lesson
from videollm.training.objectives.answers import AnswerObjective
from videollm.types import Generation

SETTINGS = {"stc": {"depth": 1}, "resampler3d": {"num_queries": 4, "num_heads": 4}, "mlp2x_gelu": {}}
SWAPS = [(name, connector) for name, case in CASES.items() for connector in case.swaps]


@pytest.mark.parametrize(("name", "connector"), SWAPS)
def test_another_connector_answers_and_learns(name: str, connector: str) -> None:
    case = CASES[name]
    golden = read_golden(case.folder)
    torch.manual_seed(0)
    model = videollm.load(golden.folder, connector=connector, connector_config=SETTINGS[connector], device="cpu")
    assert model.notice is not None
    assert "untrained" in model.notice
    same_features = model.connector.needs == golden.model.connector.needs and model.transform == golden.model.transform
    assert (
        model.describe(with_tower_key=True).tower_key == golden.model.describe(with_tower_key=True).tower_key
    ) == same_features
    batches = [short(golden, case), short(golden, case, "sample_demo_9.mp4")]
    visuals = model.encode(batches)
    greedy = Generation(max_new_tokens=4)
    together = model.answer_batch([(v, [ask("What?"), ask("Who?")]) for v in visuals], greedy)
    assert together == [[model.answer_batch([(v, [ask(q)])], greedy)[0][0] for q in ("What?", "Who?")] for v in visuals]

    model.train()
    lessons = (Lesson(question="What?", answer="A dog."), Lesson(question="Who?", answer="Nobody."))
    examples = [Example(frames=batch, lessons=lessons) for batch in batches]
    objective = AnswerObjective(model, lambda step: examples)
    optimizer = torch.optim.AdamW(model.connector.parameters(), lr=1e-2)
    losses = []
    for _ in range(4):
        loss, _ = objective.loss(examples)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.connector.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", CASES)
def test_the_own_connector_learns_as_it_answers(name: str) -> None:
    """The loss of a prompt in training is that of the same tokens in generation: positions and inner features agree."""
    case = CASES[name]
    golden = read_golden(case.folder)
    model, batch = golden.model, short(golden, case)
    answer = model.answer(batch, "What?", generation=Generation(max_new_tokens=6))
    ids = model.tokenizer(answer.text, add_special_tokens=False).input_ids
    if not answer.text.strip() or len(ids) > 24:
        pytest.skip("the random weights answer with nothing that can be read back")
    objective = AnswerObjective(model, lambda step: [])
    lesson = Lesson(question="What?", answer=answer.text)
    single, _ = objective.loss([Example(frames=batch, lessons=(lesson,))])
    pair, _ = objective.loss([Example(frames=batch, lessons=(lesson, lesson))])
    assert torch.allclose(single, pair, atol=1e-4)
