import pytest
import torch
from torch import nn

from tests.support.tiny_llms import llm
from videollm.engines import packing as fuse
from videollm.engines.packing import PADDING, SHARED, VISUAL

PROMPTS = [[1, VISUAL, VISUAL, 2, 5, 6], [1, VISUAL, VISUAL, 2, 7], [1, VISUAL, VISUAL, 2, 5, 8, 9]]


def test_pack_keeps_the_common_beginning_once():
    row = fuse.pack(PROMPTS)
    assert row.ids == [1, VISUAL, VISUAL, 2, 5, 6, 7, 5, 8, 9]
    assert row.owners == [SHARED] * 4 + [1, 1, 2, 3, 3, 3]
    assert row.positions == [0, 1, 2, 3, 4, 5, 4, 4, 5, 6]
    assert [row.ids[i] for i in row.last] == [6, 7, 9]


@pytest.mark.parametrize("prompts", [[[3]], [[3], [3]], [[3, 4], [3, 4]], [[3], [4, 5]], [[3, 4], [3, 4, 5]]])
def test_every_packed_prompt_owns_its_last_token(prompts):
    row = fuse.pack(prompts)
    assert len(row.last) == len(prompts)
    for i, prompt in enumerate(prompts):
        seen = [t for t, owner in zip(row.ids, row.owners, strict=True) if owner in (SHARED, i + 1)]
        assert seen == prompt
        assert row.owners[row.last[i]] == i + 1


def test_pack_refuses_prompts_that_differ_before_their_visual_tokens():
    with pytest.raises(ValueError, match="visual_prefix"):
        fuse.pack([[1, VISUAL, 2], [3, VISUAL, 2]])


def test_visual_prefix():
    assert fuse.visual_prefix([1, VISUAL, 2, VISUAL, 3]) == (1, VISUAL, 2, VISUAL)
    assert fuse.visual_prefix([1, 2]) == ()


@pytest.mark.parametrize("newest", [1, 3, 8])
def test_attention_mask_matches_its_rule(newest):
    owners = torch.tensor([[0, 0, 0, 1, 1, 2, 1, 2], [0, 1, 1, PADDING, PADDING, 2, 1, PADDING]])
    mask = fuse.attention_mask(owners[:, -newest:], owners)
    assert mask.shape == (2, 1, newest, 8)
    for r in range(2):
        for s in range(newest):
            q = 8 - newest + s
            for k in range(8):
                related = owners[r, k] in (SHARED, owners[r, q]) and owners[r, q] != PADDING
                assert bool(mask[r, 0, s, k]) == (k == q or (related and k < q))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_row_gives_the_logits_of_separate_prompts(attention):
    model = llm("qwen3", attention)
    rows = [fuse.pack(PROMPTS), fuse.pack([[4, 3, VISUAL, 9]])]
    visual = [torch.randn(2, 32), torch.randn(1, 32)]
    owners = fuse.pad([r.owners for r in rows], PADDING)
    ids, positions = fuse.pad([r.ids for r in rows], 0), fuse.pad([r.positions for r in rows], 0)
    mask = fuse.attention_mask(owners, owners)
    if attention == "eager":
        mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    embeds = fuse.embed(ids, visual, model.get_input_embeddings())
    with torch.no_grad():
        packed = model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions).logits
        assert packed.isfinite().all()
        for prompt, last in zip(PROMPTS, rows[0].last, strict=True):
            alone = model(inputs_embeds=fuse.embed(torch.tensor([prompt]), visual[:1], model.get_input_embeddings()))
            assert torch.allclose(packed[0, last], alone.logits[0, -1], atol=1e-4)


def test_embed_puts_visual_tokens_in_their_places():
    embedding = nn.Embedding(10, 4)
    visual = torch.arange(12.0).reshape(3, 4)
    embeds = fuse.embed(torch.tensor([[1, VISUAL, 0, VISUAL], [0, 2, VISUAL, 0]]), [visual[:2], visual[2:]], embedding)
    assert torch.equal(embeds[0, 1], visual[0])
    assert torch.equal(embeds[0, 3], visual[1])
    assert torch.equal(embeds[1, 2], visual[2])
    assert torch.equal(embeds[0, 2], embedding.weight[0])


def test_embed_without_visual_tokens():
    embedding = nn.Embedding(10, 4)
    assert torch.equal(fuse.embed(torch.tensor([[1, 2]]), [torch.empty(0, 4)], embedding), embedding.weight[None, 1:3])


def test_embed_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"reserves 1 visual tokens but the connector made 2"):
        fuse.embed(torch.tensor([[1, VISUAL]]), [torch.zeros(2, 4)], nn.Embedding(10, 4))
