"""What `VideoLLM.encode` and `answer_batch` do, as a plain loop over transformers' modules does it: one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from einops import rearrange
from transformers import GenerationConfig, SiglipVisionConfig, SiglipVisionModel

from connectors import ClipFeatures
from videollm import VideoLLM
from videollm.checkpoints.weights import without_weights
from videollm.engines import packing
from videollm.models.protocol import EncodedClip, Visual
from videollm.types import FrameBatch
from videollm.vision.navit import NavitTower, position_ids

POSITIONS: Final = "embeddings.position_embedding.weight"


def transformers_tower(model: VideoLLM, side: int) -> SiglipVisionModel:
    """transformers' SigLIP for frames of that size, on the model's weights."""
    kept = model.tower.model
    with without_weights():
        plain = SiglipVisionModel(SiglipVisionConfig(**{**kept.config.to_dict(), "image_size": side}))
    plain.post_layernorm, weights = kept.post_layernorm, kept.state_dict()
    if isinstance(model.tower, NavitTower):  # whose table is for larger frames
        rows = position_ids(*model.tower.grid(side, side), model.tower.num_buckets)
        weights[POSITIONS] = weights[POSITIONS][rows.to(model.device)]
    plain.load_state_dict(weights, assign=True)
    return plain.to(model.device).eval()


def encode(model: VideoLLM, tower: SiglipVisionModel, batch: FrameBatch) -> Visual:
    """One clip."""
    groups = model.transform.groups(batch)
    pixels = model.transform.pixels(batch.frames, model.device).to(model.dtype)
    h, _ = model.tower.grid(*pixels.shape[-2:])
    frames = rearrange(tower(pixels).last_hidden_state, "f (h w) d -> f h w d", h=h)
    parts = zip(frames.split([len(g.pictures) for g in groups]), groups, strict=True)
    clip = EncodedClip(
        features=tuple(
            ClipFeatures(frames=p.unbind(), seconds=torch.tensor(g.seconds, dtype=torch.float64)) for p, g in parts
        ),
        around=tuple((g.before, g.after) for g in groups),
        frame_indices=batch.indices,
        frame_seconds=batch.seconds,
    )
    return model.connect([clip])[0]


def answer(model: VideoLLM, visual: Visual, questions: Sequence[str], new_tokens: int) -> list[list[int]]:
    """The ids of greedy answers to questions on one clip, one after another."""
    config = GenerationConfig(max_new_tokens=new_tokens, do_sample=False, pad_token_id=0)
    answers = []
    for question in questions:
        ids = torch.tensor([model.prompt(question, visual.layout)[0]], device=model.device)
        embeds = packing.embed(ids, [visual.tokens], model.llm.get_input_embeddings())
        made = model.llm.generate(inputs_embeds=embeds, attention_mask=torch.ones_like(ids), generation_config=config)
        answers.append(made[0].tolist())
    return answers
