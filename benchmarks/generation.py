"""Several questions on each clip: ways to generate the answers, side by side in one run.

- one by one: `generate` for one question of one clip at a time
- repeated: `generate` for all at once, the visual prefix repeated for every question
- shared: `videollm.engines.builtin.BuiltinEngine`, one prefill and one cache row per clip
- continuous: transformers' continuous batching (paged cache, shared pages), whose prompts hold virtual token ids
  that the embedding resolves to visual tokens
- vllm (with `--vllm`, needs the extra): `videollm.engines.vllm.VLLMEngine`, started before and its prefix cache emptied

All are greedy and must give the same tokens. The LLM is random: only its shape matters here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Final

import torch
import tyro
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.utils import logging

from videollm.engines import packing as fuse
from videollm.engines.builtin import BuiltinEngine
from videollm.types import Generation

Rows = list[tuple[Tensor, list[list[int]]]]
Ids = list[list[int]]
VOCABULARY: Final = 8192


class VirtualEmbedding(nn.Module):
    """Token embeddings, and above the vocabulary one virtual id for each visual token."""

    def __init__(self, words: nn.Embedding, visual: Tensor) -> None:
        super().__init__()
        self.words, self.visual = words, visual
        self.weight = words.weight

    def forward(self, ids: Tensor) -> Tensor:
        virtual = ids >= self.words.num_embeddings
        embeds: Tensor = self.words(ids.masked_fill(virtual, 0))
        embeds[virtual] = self.visual[ids[virtual] - self.words.num_embeddings]
        return embeds


def one_by_one(llm: PreTrainedModel, rows: Rows, new: int) -> Ids:
    return [ids for visual, prompts in rows for p in prompts for ids in repeated(llm, [(visual, [p])], new)]


def repeated(llm: PreTrainedModel, rows: Rows, new: int) -> Ids:
    each = [(visual, p) for visual, prompts in rows for p in prompts]
    width = max(len(p) for _, p in each)
    ids = torch.tensor([[0] * (width - len(p)) + p for _, p in each], device=llm.device)
    real = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for _, p in each], device=llm.device)
    embeds = fuse.embed(ids, [visual for visual, _ in each], llm.get_input_embeddings())
    config = GenerationConfig(max_new_tokens=new, do_sample=False, pad_token_id=0)
    made = llm.generate(inputs_embeds=embeds, attention_mask=real, generation_config=config)
    assert isinstance(made, Tensor)
    return [list(ids) for ids in made.tolist()]


def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"word": 0}, unk_token="word")))


def shared(llm: PreTrainedModel, rows: Rows, new: int) -> Ids:
    engine = BuiltinEngine(llm, tokenizer())
    return [list(c.ids) for of_clip in engine.generate(rows, Generation(max_new_tokens=new)) for c in of_clip]


@contextmanager
def virtual_ids(llm: PreTrainedModel, rows: Rows) -> Iterator[Ids]:
    """Prompts with virtual ids, while the LLM knows them."""
    words = llm.get_input_embeddings()
    prompts, at = [], VOCABULARY
    for visual, of_clip in rows:
        for p in of_clip:
            ids = iter(range(at, at + len(visual)))
            prompts.append([next(ids) if i == fuse.VISUAL else i for i in p])
        at += len(visual)
    llm.set_input_embeddings(VirtualEmbedding(words, torch.cat([visual for visual, _ in rows])))
    try:
        yield prompts
    finally:
        llm.set_input_embeddings(words)


def continuous(llm: PreTrainedModel, rows: Rows, new: int) -> Ids:
    # Pages are shared only with requests that began in an earlier batch, hence a bound on the requests of one; the
    # number of pages is given since the default takes most of a small machine's memory.
    cells = sum(len(p) + new for _, prompts in rows for p in prompts)
    batching = ContinuousBatchingConfig(
        page_size=32, num_blocks=cells // 32 + 256, max_batch_tokens=4096, max_requests_per_batch=16
    )
    config = GenerationConfig(max_new_tokens=new, do_sample=False, eos_token_id=-1, pad_token_id=0)
    with virtual_ids(llm, rows) as prompts:
        made = llm.generate_batch(prompts, generation_config=config, continuous_batching_config=batching)
    return [list(out.generated_tokens) for out in made.values()]


def vllm_way(llm: PreTrainedModel) -> Callable[[PreTrainedModel, Rows, int], Ids]:
    from videollm.engines.vllm import VLLMEngine

    VLLMEngine.prepare()
    engine = VLLMEngine(deepcopy(llm), tokenizer())

    def vllm(_: PreTrainedModel, rows: Rows, new: int) -> Ids:
        engine._engine.reset_prefix_cache()
        return [list(c.ids) for of_clip in engine.generate(rows, Generation(max_new_tokens=new)) for c in of_clip]

    return vllm


WAYS: Final[dict[str, Callable[[PreTrainedModel, Rows, int], Ids]]] = {
    "one by one": one_by_one,
    "repeated": repeated,
    "shared": shared,
    "continuous": continuous,
}


def main(
    clips: int = 4,
    questions: tuple[int, ...] = (3, 15),
    visual_tokens: int = 576,
    question_tokens: int = 24,
    new_tokens: int = 16,
    width: int = 256,
    layers: int = 6,
    repeats: int = 2,
    device: str = "cpu",
    dtype: str = "float32",
    ways: tuple[str, ...] = tuple(WAYS),
    vllm: bool = False,
) -> None:
    """Print seconds and ratios for each number of questions per clip."""
    logging.set_verbosity_error()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 128,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
    )
    llm = Qwen2ForCausalLM(config).eval().to(device, getattr(torch, dtype))
    compared = {name: WAYS[name] for name in ways} | ({"vllm": vllm_way(llm)} if vllm else {})
    for q in questions:
        rows: Rows = []
        for clip in range(clips):
            visual = torch.randn(visual_tokens + 32 * clip, width, device=device, dtype=llm.dtype)
            text = torch.randint(VOCABULARY, (q, question_tokens)).tolist()
            prefix = [1, *[fuse.VISUAL] * len(visual)]
            rows.append((visual, [[*prefix, *t[: question_tokens - i % 8]] for i, t in enumerate(text)]))
        seconds, answers = {name: float("inf") for name in compared}, {}
        for _ in range(repeats):
            for name, way in compared.items():
                begin = time.perf_counter()
                with torch.no_grad():
                    answers[name] = way(llm, rows, new_tokens)
                seconds[name] = min(seconds[name], time.perf_counter() - begin)
        print(f"{clips} clips, {q} questions each, {visual_tokens}+ visual tokens, {new_tokens} new tokens, {device}")
        first = next(iter(compared))
        for name, taken in seconds.items():
            same = sum(a == b for a, b in zip(answers[name], answers[first], strict=True))
            ratio, rate = seconds[first] / taken, sum(map(len, answers[name])) / taken
            print(f"  {name:12}{taken:8.2f} s {rate:8.1f} tokens/s  {ratio:5.1f}x {first}  "
                  f"{same}/{len(answers[name])} answers the same")  # fmt: skip


if __name__ == "__main__":
    tyro.cli(main)
