"""Query heads that share a key head: what transformers' attention computes, without copies of the keys."""

import pytest
import torch
from transformers import AttentionInterface

from tests.support import tiny_llms
from videollm.engines.attention import GROUPED, grouped, grouped_attention


@pytest.mark.parametrize("num_key_value_heads", [1, 2, 4])
@pytest.mark.parametrize("s", [1, 5])
def test_equals_attention_with_keys_repeated(num_key_value_heads: int, s: int) -> None:
    layer = tiny_llms.llm(num_key_value_heads=num_key_value_heads).model.layers[0].self_attn
    query = torch.randn(3, 4, s, 8)
    key, value = torch.randn(2, 3, num_key_value_heads, 11, 8).unbind()
    mask = torch.rand(3, 1, s, 11) < 0.5
    mask[..., 0] = True
    expected, _ = AttentionInterface()["sdpa"](layer, query, key, value, mask, scaling=0.3)
    made, _ = grouped_attention(layer, query, key, value, mask, scaling=0.3)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


def test_causal_attention_is_left_to_transformers() -> None:
    layer = tiny_llms.llm().model.layers[0].self_attn
    query, (key, value) = torch.randn(3, 4, 6, 8), torch.randn(2, 3, 2, 6, 8).unbind()
    expected, _ = AttentionInterface()["sdpa"](layer, query, key, value, None, scaling=0.3)
    made, _ = grouped_attention(layer, query, key, value, None, scaling=0.3)
    assert torch.equal(made, expected)


def test_an_llm_attends_so_inside_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = tiny_llms.llm()
    shapes = []

    def attend(query: torch.Tensor, *args: torch.Tensor, **options: object) -> torch.Tensor:
        shapes.append(query.shape[1])
        return torch.zeros_like(query)

    monkeypatch.setattr("videollm.engines.attention.scaled_dot_product_attention", attend)
    mask = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    with grouped(llm):
        assert llm.config._attn_implementation == GROUPED
        llm(inputs_embeds=torch.randn(1, 2, 32), attention_mask=mask)
    assert shapes == [2, 2, 2]  # heads of the keys: three layers
    llm(inputs_embeds=torch.randn(1, 2, 32), attention_mask=mask)
    assert (len(shapes), llm.config._attn_implementation) == (3, "sdpa")


def test_eager_attention_stays() -> None:
    llm = tiny_llms.llm(attention="eager")
    with grouped(llm):
        assert llm.config._attn_implementation == "eager"
