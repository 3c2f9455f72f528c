"""The objective `answers`: the loss of the answers' tokens, all questions of a clip in one row.

SHAPES  r rows (clips), s tokens of a row, m answer tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from videollm.engines import packing
from videollm.engines.layers import RECURRENT, layer_kinds
from videollm.models.protocol import Visual
from videollm.models.trainable import TrainableModel
from videollm.training.data import Data, Example, Lesson
from videollm.training.objectives.base import Objective

IGNORED: Final = -100
"""Label of a token that is not learned."""


class AnswerObjective(Objective):
    """Mean cross-entropy of the answers' tokens.

    Args:
        model: learns.
        data: clips with the answers to learn.
    """

    def __init__(self, model: TrainableModel, data: Data) -> None:
        assert isinstance(model, nn.Module)
        super().__init__(model, model)
        self.data = data
        if model.device.type == "cpu":
            model.llm.set_attn_implementation("eager")  # sdpa's backward takes half of a step on a CPU

    def batch(self, step: int) -> list[Example]:
        """Make the batch of a step, see `Objective.batch`."""
        return self.data(step)

    def loss(self, batch: Sequence[Example]) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss, and the share of answers of each kind that are wholly right."""
        model = self.model
        clips = model.encode_frames([example.frames for example in batch])
        made = model.connect(clips, [[lesson.question for lesson in example.lessons] for example in batch])
        visual, lessons = zip(*_by_row(batch, made, alone=RECURRENT in layer_kinds(model.llm)), strict=True)
        rows, labels = zip(*(_row(model, of_row, v) for of_row, v in zip(lessons, visual, strict=True)), strict=True)
        ids = packing.pad([r.ids for r in rows], 0, model.device)
        owners = packing.pad([r.owners for r in rows], packing.PADDING, model.device)
        embeds = packing.embed(ids, [v.tokens for v in visual], model.llm.get_input_embeddings())
        hidden = model.llm.base_model(
            inputs_embeds=embeds,
            attention_mask=_additive(packing.attention_mask(owners, owners)),
            position_ids=packing.pad_positions([r.positions for r in rows], model.device),
            use_cache=False,
            **packing.deepstack(ids, [v.deep for v in visual], embeds),
        ).last_hidden_state
        # Logits of the answers' tokens alone: those of all tokens would take most of the memory.
        targets = packing.pad(labels, IGNORED, model.device)
        learned = targets != IGNORED
        logits = model.llm.get_output_embeddings()(hidden[learned])
        right = logits.argmax(-1) == targets[learned]
        loss = cross_entropy(logits.float(), targets[learned])
        return loss, _accuracy(lessons, right, torch.where(learned, owners, -1))


def _additive(mask: Tensor) -> Tensor:
    """Turn a boolean mask into an additive one, which every attention implementation takes."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.bfloat16).min)


def _by_row(batch: Sequence[Example], made: Sequence[Visual], *, alone: bool) -> list[tuple[Visual, list[Lesson]]]:
    """Divide the lessons of clips into rows: those of a clip are one, unless tokens depend on the question.

    Args:
        batch: clips with their lessons.
        made: their visual tokens.
        alone: whether each lesson needs a row of its own: a recurrent state cannot be shared.
    """
    rows: dict[object, tuple[Visual, list[Lesson]]] = {}
    for example, visual in zip(batch, made, strict=True):
        for lesson in example.lessons:
            of_lesson = visual.of(lesson.question)
            rows.setdefault(len(rows) if alone else id(of_lesson), (of_lesson, []))[1].append(lesson)
    return list(rows.values())


def _row(model: TrainableModel, lessons: Sequence[Lesson], visual: Visual) -> tuple[packing.Row, list[int]]:
    """Lay a clip's prompts with their answers end to end; label every token with the one that should follow it."""
    prompts, answers, positions = [], [], []
    for lesson in lessons:
        ids, at, _ = model.write_prompt(visual, lesson.question, options=lesson.options)
        answer = [*model.tokenizer(lesson.answer, add_special_tokens=False).input_ids, model.tokenizer.eos_token_id]
        prompts.append(ids)
        answers.append(answer)
        positions.append([*at[:-1], *(packing.further(at[-1], i) for i in range(len(answer)))])
    # An answer's last token is not fed: nothing follows it. The token before an answer is the first with a label.
    whole = [p + a[:-1] for p, a in zip(prompts, answers, strict=True)]
    shared = len(packing.visual_prefix(prompts[0]))
    row = packing.pack(whole, shared, positions)
    labels = [IGNORED] * shared
    for prompt, answer in zip(prompts, answers, strict=True):
        labels += [IGNORED] * (len(prompt) - 1 - shared) + answer
    return row, labels


def _accuracy(rows: Sequence[Sequence[Lesson]], right: Tensor, owners: Tensor) -> dict[str, float]:
    """Compute the share of answers that are wholly right, by kind.

    Args:
        right: (m,) whether each token is right, row after row.
        owners: (r s) question that a token belongs to (from 1), -1 where it is not learned.
    """
    at = (owners >= 0).nonzero()
    wrong = torch.zeros(owners.shape[0], int(owners.max()) + 1, dtype=torch.int64, device=owners.device)
    wrong.index_put_((at[:, 0], owners[owners >= 0]), (~right).long(), accumulate=True)
    scores = defaultdict(list)
    for r, lessons in enumerate(rows):
        for i, lesson in enumerate(lessons):
            scores[lesson.kind].append(float(wrong[r, i + 1] == 0))
    return {kind: sum(s) / len(s) for kind, s in scores.items()}
