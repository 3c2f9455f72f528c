"""The built-in engine beside the one before it (benchmarks/masked_rows.py): same prompts, same tokens, turn by turn.

python benchmarks/engine.py                       # minutes; a markdown table
python benchmarks/engine.py --shapes 1x1 15x16 --sizes 4x128 --visual 60 --repeats 3

A shape is questions a clip x clips. Times are those of the process on one thread (`time.process_time`), the least of
some repeats that alternate between the two, so that other processes disturb little. The LLM is random: only its shape
matters here. Its answers have no end token, so that all have as many tokens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch
from masked_rows import MaskedRows
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from videollm.engines.base import Engine
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.packing import VISUAL
from videollm.types import Generation

SHAPES = ("1x1", "3x1", "15x1", "1x8", "3x8", "15x16")
SIZES = ("4x128", "12x576")
VOCABULARY = 8192
HEADS = {128: (4, 2), 576: (9, 3)}


def llm(layers: int, width: int) -> PreTrainedModel:
    heads, key_heads = HEADS.get(width, (max(2, width // 64), 1))
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
    )
    return Qwen2ForCausalLM(config).eval()


def prompts(
    width: int, questions: int, clips: int, visual: int, question_tokens: int = 24
) -> list[tuple[Tensor, list[list[int]]]]:
    """Clips of a few more tokens each, and questions of unlike lengths."""
    random = torch.Generator().manual_seed(0)
    rows = []
    for clip in range(clips):
        tokens = torch.randn(visual + 4 * (clip % 8), width, generator=random)
        texts = torch.randint(VOCABULARY, (questions, question_tokens), generator=random).tolist()
        rows.append(
            (tokens, [[1, *[VISUAL] * len(tokens), *t[: question_tokens - i % 8]] for i, t in enumerate(texts)])
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print seconds of both engines, a row a shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="questions a clip x clips")
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="layers x width")
    parser.add_argument("--visual", nargs="+", type=int, default=(60, 600), help="visual tokens a clip")
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"word": 0}, unk_token="word")))
    print("| layers x width | visual tokens | questions x clips | before | now | now is | same answers |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for size in args.sizes:
        layers, width = map(int, size.split("x"))
        model = llm(layers, width)
        engines: dict[str, Engine] = {
            "before": MaskedRows(model, tokenizer),
            "now": BuiltinEngine(model, tokenizer, BuiltinEngine.Config(cache_gb=4)),
        }
        for visual in args.visual:
            for shape in args.shapes:
                questions, clips = map(int, shape.split("x"))
                rows = prompts(width, questions, clips, visual)
                seconds = {name: float("inf") for name in engines}
                ids = {}
                for _ in range(args.repeats):
                    for name, engine in engines.items():
                        begin = time.process_time()
                        made = engine.generate(rows, Generation(max_new_tokens=args.new_tokens))
                        seconds[name] = min(seconds[name], time.process_time() - begin)
                        ids[name] = [c.ids for of_clip in made for c in of_clip]
                same = sum(a == b for a, b in zip(ids["before"], ids["now"], strict=True))
                print(
                    f"| {size} | {visual} | {questions} x {clips} | {1e3 * seconds['before']:.1f} ms | "
                    f"{1e3 * seconds['now']:.1f} ms | {seconds['before'] / seconds['now']:.2f}x | "
                    f"{same}/{len(ids['now'])} |",
                    flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
