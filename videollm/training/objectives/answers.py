"""What training lowers: the loss of the answers' tokens, all questions of a clip in one row.

SHAPES  r rows (clips), s tokens of a row, m answer tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from connectors import Connector
from videollm.engines import packing
from videollm.models.composed import VideoLLM
from videollm.models.protocol import Visual
from videollm.training.data import Example

IGNORED = -100
"""Label of a token that is not learned."""


def answer_loss(model: VideoLLM, examples: Sequence[Example]) -> tuple[Tensor, dict[str, float]]:
    """Mean cross-entropy of the answers' tokens, and the share of answers of each kind that are wholly right."""
    visual = model.connect(model.encode_frames([e.frames for e in examples]))
    rows, labels = zip(*(_row(model, e, v) for e, v in zip(examples, visual, strict=True)), strict=True)
    device = model.device
    ids = packing.pad([r.ids for r in rows], 0, device)
    owners = packing.pad([r.owners for r in rows], packing.PADDING, device)
    hidden = model.llm.base_model(
        inputs_embeds=packing.embed(ids, [v.tokens for v in visual], model.llm.get_input_embeddings()),
        attention_mask=_additive(packing.attention_mask(owners, owners)),
        position_ids=packing.pad([r.positions for r in rows], 0, device),
        use_cache=False,
    ).last_hidden_state
    targets = packing.pad(labels, IGNORED, device)
    learned = targets != IGNORED
    logits = model.llm.get_output_embeddings()(hidden[learned])
    loss = cross_entropy(logits.float(), targets[learned])
    return loss, _accuracy(examples, logits.argmax(-1) == targets[learned], torch.where(learned, owners, -1))


def token_loss(model: VideoLLM, teacher: Connector, examples: Sequence[Example]) -> tuple[Tensor, dict[str, float]]:
    """Mean squared difference to the teacher's visual tokens, over their variance: a warm start for a connector.

    Raises:
        ValueError: the connectors make different numbers of tokens.
    """
    with torch.no_grad():
        features = [part for clip in model.encode_frames([e.frames for e in examples]) for part in clip.features]
        wanted = torch.cat(teacher.connect(features)).float()
    made = torch.cat(model.connector.connect(features)).float()
    if made.shape != wanted.shape:
        raise ValueError(
            f"--objective tokens: {model.connector_name} made {len(made)} tokens where the model's own connector makes "
            f"{len(wanted)}. Set --connector-config so that both make as many."
        )
    return mse_loss(made, wanted) / wanted.var(), {}


def _additive(mask: Tensor) -> Tensor:
    """A mask to add to the scores, which every attention implementation takes."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.bfloat16).min)


def _row(model: VideoLLM, example: Example, visual: Visual) -> tuple[packing.Row, list[int]]:
    """A clip's prompts with their answers, and for every token the one that it should be followed by."""
    prompts, answers = [], []
    for lesson in example.lessons:
        ids, _ = model.prompt(lesson.question, visual.layout, options=lesson.options)
        answer = model.tokenizer(lesson.answer, add_special_tokens=False).input_ids
        prompts.append(ids)
        answers.append([*answer, model.tokenizer.eos_token_id])
    whole = [p + a[:-1] for p, a in zip(prompts, answers, strict=True)]
    shared = len(packing.visual_prefix(prompts[0]))
    row = packing.pack(whole, shared)
    labels = [IGNORED] * shared
    for prompt, answer in zip(prompts, answers, strict=True):
        labels += [IGNORED] * (len(prompt) - 1 - shared) + answer
    return row, labels


def _accuracy(examples: Sequence[Example], right: Tensor, owners: Tensor) -> dict[str, float]:
    """Share of answers wholly right by kind, from the tokens that are right and each token's owner, or -1."""
    at = (owners >= 0).nonzero()
    wrong = torch.zeros(owners.shape[0], int(owners.max()) + 1, dtype=torch.int64, device=owners.device)
    wrong.index_put_((at[:, 0], owners[owners >= 0]), (~right).long(), accumulate=True)
    scores = defaultdict(list)
    for r, example in enumerate(examples):
        for i, lesson in enumerate(example.lessons):
            scores[lesson.kind].append(float(wrong[r, i + 1] == 0))
    return {kind: sum(s) / len(s) for kind, s in scores.items()}
