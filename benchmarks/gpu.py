"""Full-size models with random weights on a GPU: towers, connectors, prefill, decoding; markdown, row by row.

python benchmarks/gpu.py > gpu.txt        # at most 6 minutes on an H100 or H200, bfloat16
python benchmarks/gpu.py --device cpu --dtype float32 --layers 2 --width 128 --sequences 1 8 --asked 2x3 --clips 2

The second line tries it out without a GPU. It needs torch, transformers and einops: no decoder, no Ray, no tyro.
is downloaded: the configurations are the published ones, the weights are made on the device, clips are noise. Each
part has a budget (`--budget-s`): rows that would begin after it are left out, with a line that says so. A part that
fails prints its trace, and the next one runs; the exit code is then 1.

- machine: TFLOP/s of the best matrix product, GB/s of a copy (read and written bytes), which all shares are of.
- decoder: Qwen2-7B, the LLM of VideoLLaMA2.1. Prefill: tokens fed over the time of the first step, less a later step.
  Decode: sequences over the median step, kernel by kernel and captured (the first steps, which are recorded, aside).
  Bound: weights and keys that a step must read, over the copy's GB/s. Same: prompts whose tokens are the same in both.
  `generate`: transformers, one prompt at a time; two prompts, since each takes as long.
- a model each: frames/s of the tower on pixels that lie on the device, its share of the best matrix product; the
  connector beside the official order of operations (benchmarks/official_order.py: a reimplementation); encode and
  answer as they are called. FLOPs are those that torch counts: matrix products, convolutions and attention.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import official_order
import torch
import transformers
from random_models import CASES, GOLDEN, Name, build
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoTokenizer, GenerationConfig, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from videollm import VideoLLM
from videollm.checkpoints.weights import without_weights
from videollm.engines import packing
from videollm.engines.base import Engine
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.prompt import Prefix
from videollm.types import Clip, Generation, Request

QUESTIONS: Final = tuple(f"What happens in part {i} of the video?" for i in range(8))
SQUARES: Final = {"cuda": (4096, 8192, 16384), "cpu": (512,)}
COPY_BYTES: Final = {"cuda": 4 * 2**30, "cpu": 2**26}
OWN_TOKENS: Final = 20
"""Tokens of a question."""


class Spent(Exception):  # noqa: N818
    """A part's budget is spent."""


@dataclass(kw_only=True)
class Bench:
    """What all parts share."""

    args: argparse.Namespace
    device: torch.device
    dtype: torch.dtype
    tflops: float = float("nan")
    gbytes: float = float("nan")
    until: float = float("inf")
    part: str = ""

    def row(self, what: str, figure: str, of: str = "") -> None:
        print(f"| {self.part} | {what} | {figure} | {of} |", flush=True)

    def check(self, what: str) -> None:
        """Before a row."""
        if time.perf_counter() > self.until:
            raise Spent(what)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def seconds(self, run: Callable[[], object], repeats: int = 3) -> float:
        """Median time, after a run to warm up."""
        run()
        return median(self.once(run) for _ in range(repeats))

    def once(self, run: Callable[[], object]) -> float:
        self.wait()
        begin = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - begin

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def peak(self) -> str:
        if self.device.type == "cuda":
            return f"peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
        return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.1f} GB of the process"


def machine(bench: Bench) -> None:
    best = 0.0
    for n in SQUARES[bench.device.type]:
        bench.check(f"{n} x {n}")
        a, b = (torch.randn(n, n, dtype=bench.dtype, device=bench.device) for _ in range(2))
        rate = 2 * n**3 / bench.seconds(lambda a=a, b=b: a @ b) / 1e12  # type: ignore[misc]
        best = max(best, rate)
        bench.row(f"matrix product {n} x {n}", f"{rate:.4g} TFLOP/s")
    bench.tflops = best
    source = torch.empty(COPY_BYTES[bench.device.type], dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    bench.gbytes = 2 * source.nbytes / bench.seconds(lambda: target.copy_(source)) / 1e9
    bench.row("copy, read and written", f"{bench.gbytes:.4g} GB/s")


def decoder(bench: Bench) -> None:
    llm = _qwen2(bench)
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "minicpmv45_tiny", config=llm.config, local_files_only=True)
    tokenizer.eos_token = llm.generation_config.eos_token_id = None
    engine = BuiltinEngine(llm, tokenizer, BuiltinEngine.Config(capture=False))
    captured = BuiltinEngine(llm, tokenizer, BuiltinEngine.Config(capture=True))
    bench.row("steps", captured.try_steps() or "")
    weights = sum(p.numel() for p in llm.parameters()) - llm.get_input_embeddings().weight.numel()
    bench.row("weights", f"{sum(p.nbytes for p in llm.parameters()) / 1e9:.2f} GB")
    visual = bench.args.visual
    _steps(bench, engine, [(visual, 1)], 4)  # to warm up
    bench.check("generate")
    new = bench.args.new_tokens
    rate = _generate(bench, llm, visual, new)
    bench.row(f"transformers generate, one by one, {visual}+{OWN_TOKENS} tokens, {new} new", f"{rate:.4g} tokens/s")
    questions, clips = map(int, bench.args.asked.split("x"))
    shapes = [(f"{n} sequences", [(visual, 1)] * n) for n in bench.args.sequences]
    for label, asked in [*shapes, (f"{questions} questions x {clips} clips", [(visual, questions)] * clips)]:
        bench.check(label)
        first, step, number, ids = _steps(bench, engine, asked, new)
        fed = sum(v + 1 + q * OWN_TOKENS for v, q in asked)
        prefill = max(first - step, 1e-9)
        share = 2 * weights * fed / prefill / 1e12 / bench.tflops
        bench.row(f"{label}: prefill", f"{fed / prefill:.4g} tokens/s", f"{share:.0%} of the matrix product")
        held = weights * llm.dtype.itemsize + _key_bytes(llm) * (
            sum(v + 1 for v, _ in asked) + number * (OWN_TOKENS + new // 2)
        )
        bound = held / bench.gbytes / 1e9
        bench.row(
            f"{label}: decode", f"{number / step:.4g} tokens/s, {1e3 * step:.4g} ms a step",
            f"{step / bound:.2f}x the bound of {1e3 * bound:.3g} ms; {bench.peak()}",
        )  # fmt: skip
        whole = number * new / (first + step * (new - 2))
        bench.row(f"{label}: whole", f"{whole:.4g} tokens/s", f"{whole / rate:.1f}x generate")
        bench.check(f"{label}, captured")
        _, faster, _, also = _steps(bench, captured, asked, new)
        same = sum(a == b for a, b in zip(ids, also, strict=True))
        bench.row(
            f"{label}: decode, captured", f"{number / faster:.4g} tokens/s, {1e3 * faster:.4g} ms a step",
            f"{faster / bound:.2f}x the bound, {step / faster:.2f}x as fast; same {same}/{number}; {bench.peak()}",
        )  # fmt: skip
    bench.row("steps, in the end", captured.try_steps() or "")


def _steps(
    bench: Bench, engine: Engine, asked: Sequence[tuple[int, int]], new: int
) -> tuple[float, float, int, list[list[int]]]:
    """Seconds of the first step (prefill and a step) and of a later one, the number of prompts, and their tokens."""
    generation = Generation(max_new_tokens=new)
    batch = engine.start(generation)
    random, width = torch.Generator().manual_seed(0), engine.embedding.embedding_dim
    number, asked_in_all = 0, []
    for v, questions in asked:
        own = torch.randint(256, (questions, OWN_TOKENS), generator=random).tolist()
        ids = [[1, *[packing.VISUAL] * v, *text] for text in own]
        prompts = [engine.prompt(i, range(len(i) + 1), f"{number + j}", new, generation) for j, i in enumerate(ids)]
        tokens = torch.randn(v, width, device=bench.device, dtype=bench.dtype) * 0.02
        batch.join(Prefix(tokens=tokens), prompts)
        number += questions
        asked_in_all += prompts
    taken = [bench.once(batch.advance)]
    if batch.num_waiting:
        raise RuntimeError(f"{batch.num_waiting} of {number} prompts wait: there is no room for all of them at once")
    taken += [bench.once(batch.advance) for _ in range(new - 2)]
    return taken[0], median(taken[1:]), number, [p.generated for p in asked_in_all]


def _generate(bench: Bench, llm: PreTrainedModel, visual: int, new: int, number: int = 2) -> float:
    """Tokens/s of transformers' `generate`, one prompt after another."""
    config = GenerationConfig(max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0)
    embeds = torch.randn(1, visual + 1 + OWN_TOKENS, llm.config.hidden_size, device=bench.device, dtype=bench.dtype)
    real = torch.ones(embeds.shape[:2], dtype=torch.int64, device=bench.device)
    run = lambda: llm.generate(inputs_embeds=embeds, attention_mask=real, generation_config=config)  # noqa: E731
    run()
    return number * new / bench.once(lambda: [run() for _ in range(number)])


def _qwen2(bench: Bench) -> PreTrainedModel:
    width, layers = bench.args.width, bench.args.layers
    config = Qwen2Config(
        vocab_size=152064 if width is None else 4096,
        hidden_size=width or 3584,
        intermediate_size=2 * width if width else 18944,
        num_hidden_layers=layers or 28,
        num_attention_heads=2 if width else 28,
        num_key_value_heads=1 if width else 4,
        max_position_embeddings=32768,
        bos_token_id=None,
        eos_token_id=None,
    )
    with without_weights():
        llm = Qwen2ForCausalLM._from_config(config, attn_implementation="sdpa")
    torch.manual_seed(0)
    made = {k: torch.empty(v.shape, dtype=bench.dtype, device=bench.device) for k, v in llm.state_dict().items()}
    for tensor in made.values():
        tensor.normal_(std=0.02) if tensor.ndim > 1 else tensor.fill_(1)
    llm.load_state_dict(made, assign=True)
    return llm.to(bench.device).eval().requires_grad_(False)


def _key_bytes(llm: PreTrainedModel) -> int:
    c = llm.config
    return (
        int(2 * c.num_hidden_layers * c.num_key_value_heads * c.hidden_size // c.num_attention_heads)
        * llm.dtype.itemsize
    )


def model(bench: Bench, name: Name, *, in_full: bool) -> None:
    case = CASES[name]
    made = build(name, bench.device, bench.dtype, bench.args.layers, bench.args.width)
    bench.row("weights", f"{sum(p.nbytes for p in made.parameters()) / 1e9:.2f} GB")
    clips = case.clips(bench.args.clips)
    num_frames = case.num_frames * len(clips)
    bench.check("tower")
    groups = [g for c in clips for g in made.transform.groups(c)]
    pixels = [made.transform.pixels(g.pictures, bench.device).to(bench.dtype) for g in groups]
    size = max(1, bench.args.tower_frames // len(pixels[0]))
    batches = [torch.cat(pixels[i : i + size]) for i in range(0, len(pixels), size)]
    flops = _flops(lambda: made.tower(batches[0][:2])) / len(batches[0][:2])
    seconds = bench.seconds(lambda: [made.tower(b) for b in batches])
    rate = sum(map(len, batches)) / seconds
    bench.row(
        f"tower, {len(clips)} clips of {case.num_frames} frames of {case.side} x {case.side}", f"{rate:.4g} frames/s",
        f"{rate * flops / 1e12 / bench.tflops:.0%} of the matrix product; {bench.peak()}",
    )  # fmt: skip
    if in_full:
        bench.check("connector")
        encoded = made.encode_frames(clips)
        ours = bench.seconds(lambda: made.connect(encoded))
        features = [f for c in encoded for f in c.features]
        official = bench.seconds(lambda: official_order.connect(made.connector, features))
        bench.row("connector", f"{1e3 * ours / len(clips):.4g} ms a clip", f"{official / ours:.2f}x the official order")
    bench.check("encode")
    seconds = bench.seconds(lambda: made.encode(clips), 1)
    bench.row("encode, from frames in the host's memory", f"{num_frames / seconds:.4g} frames/s", bench.peak())
    visuals, new = made.encode(clips), bench.args.new_tokens
    for n, q in [(1, 1), (len(clips), 1), (len(clips), len(QUESTIONS))]:
        bench.check(f"answer {q} x {n}")
        seconds = bench.once(lambda n=n, q=q: _answer(made, visuals[:n], q, new))  # type: ignore[misc]
        bench.row(
            f"answer, {q} questions x {n} clips of {len(visuals[0].tokens)} visual tokens, {new} new",
            f"{n * q * new / seconds:.4g} tokens/s, prefill included", bench.peak(),
        )  # fmt: skip


def _answer(made: VideoLLM, visuals: Sequence[Any], questions: int, new: int) -> None:
    asked = [Request(id=q, clip=Clip(video=""), question=q) for q in QUESTIONS[:questions]]
    made.answer_batch([(v, asked) for v in visuals], Generation(max_new_tokens=new))


def _flops(run: Callable[[], object]) -> int:
    """Floating-point operations: 2 a multiplication with addition."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # not every fused kernel is counted
        run()
    return int(counter.get_total_flops())


def parts() -> Iterator[tuple[str, Callable[[Bench], None]]]:
    yield "machine", machine
    yield "decoder", decoder
    for name in CASES:
        yield name, lambda bench, name=name: model(bench, name, in_full=name in list(CASES)[:2])  # type: ignore[misc]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of each part."""
    names = [name for name, _ in parts()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--budget-s", type=float, default=50.0, help="seconds after which a part begins no further row")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--sequences", nargs="+", type=int, default=(1, 8, 64, 256), help="prompts of a clip each")
    parser.add_argument("--asked", default="8x32", help="questions x clips")
    parser.add_argument("--visual", type=int, default=320, help="visual tokens of a clip, for the decoder")
    parser.add_argument("--clips", type=int, default=8, help="clips at once, for the models")
    parser.add_argument("--tower-frames", type=int, default=64, help="frames that go through the tower at once")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--layers", type=int, help="keep only so many layers of tower and LLM, to try the script out")
    parser.add_argument("--width", type=int, help="cut tower and LLM to this width, likewise")
    args = parser.parse_args(arguments)
    if args.new_tokens < 4:
        parser.error("--new-tokens: at least 4")
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No CUDA device here; this measures a GPU. Give --device cpu --dtype float32 --layers 2 --width 128 "
              "--sequences 1 8 --asked 2x3 --clips 2 to try it out without one.", file=sys.stderr)  # fmt: skip
        raise SystemExit(2)
    transformers.logging.set_verbosity_error()
    bench = Bench(args=args, device=torch.device(args.device), dtype=getattr(torch, args.dtype))
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, torch threads: {torch.get_num_threads()}"
    print(f"{where}; torch {torch.__version__}, transformers {transformers.__version__}; {args.dtype}\n")
    if args.layers is not None or args.width is not None:
        print("These are figures of cut-down models: they say nothing of the full-size ones.\n")
    print("| part | what | figure | of |\n|---|---|---|---|", flush=True)
    failed, begin = False, time.perf_counter()
    for name, part in parts():
        if name not in args.parts:
            continue
        bench.part, bench.until = name, time.perf_counter() + args.budget_s
        try:
            with torch.inference_mode():
                part(bench)
        except Spent as row:
            bench.row(str(row), "left out", f"the budget of {args.budget_s:g} s is spent")
        except Exception as error:
            failed = True
            bench.row("failed", type(error).__name__, "see the trace")
            traceback.print_exc()
            sys.stderr.flush()
        gc.collect()  # there may not be room for two
    bench.part = "all"
    bench.row("time", f"{time.perf_counter() - begin:.0f} s")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
