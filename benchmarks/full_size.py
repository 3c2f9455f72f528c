"""VideoLLaMA2.1-7B-16F and MiniCPM-V 4.5 at full size with random weights: how fast a GPU encodes and answers.

python benchmarks/full_size.py      # both, in bfloat16, on a GPU of 24 GB or more; rows that do not fit say so
python benchmarks/full_size.py --device cpu --dtype float32 --layers 2 --width 128 --batches 1 2      # does it run?

It needs torch, transformers and einops: no decoder, no Ray, no tyro. Nothing is downloaded: the configurations are the
published ones, the weights are made on the device, clips are noise.

- ceiling: the best of a few matrix products, in the type of the weights.
- encode: tower alone, on pixels that lie on the device; connector alone; the rest, which is the host's (pixels are made
  and sent); and `VideoLLM.encode`, which is all of it.
- answer: `VideoLLM.answer_batch` on encoded clips. Tokens/s: generated tokens over the whole time. Prompt tokens/s: the
  tokens of all prompts, those that questions share counted for each, over the time to the first new token.
- plain: a loop over transformers, one clip at a time through its own SigLIP and our connector, one question at a time
  through `generate`. Its greedy tokens are those of the batches; in bfloat16, but for near ties.

All are medians after a warm-up. Peak GB is what tensors take, weights included (CPU: the process, since its start).
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from statistics import median
from typing import Final

import plain_loop
import torch
import transformers
from random_models import CASES, Case, build
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from videollm import VideoLLM
from videollm.models.composed import MAX_FRAMES_PER_FORWARD
from videollm.models.protocol import Visual
from videollm.types import Clip, Completion, FrameBatch, Generation, Request

QUESTIONS: Final = ("What happens in the video?", "What moves first?", "How many people are there?")
NUM_QUESTIONS: Final = (1, 3)
SQUARES: Final = {"cuda": (4096, 8192, 16384), "cpu": (1024, 2048)}


def tower_flops(model: VideoLLM, side: int) -> int:
    """Floating-point operations on a frame: 2 a multiplication with addition; norms, activations, softmax left out.

    For n patches of p pixels per side, width d and MLP width m: 2 n 3p² d for the embedding of patches; in each layer
    that runs 2 n (4 d² + 2 d m) for the four projections and the MLP, and 4 n² d for scores and weighted sums.
    """
    config = model.tower.model.config
    n, d, m = prod(model.tower.grid(side, side)), config.hidden_size, config.intermediate_size
    layer = 2 * n * (4 * d**2 + 2 * d * m) + 4 * n**2 * d
    return int(2 * n * 3 * config.patch_size**2 * d + config.num_hidden_layers * layer)


def connector_flops(model: VideoLLM, batch: FrameBatch) -> int:
    """Floating-point operations on a clip, as torch counts those of matrix products, convolutions and attention."""
    clip = model.encode_frames([batch])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # not every fused kernel is counted
        model.connect(clip)
    return int(counter.get_total_flops())


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Measures the time that something takes, and how much memory."""

    device: torch.device
    repeats: int

    def __call__(self, run: Callable[[], object]) -> tuple[float, float]:
        """Median seconds and peak GB."""
        run()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            seconds = median(self._events(run) for _ in range(self.repeats))
            return seconds, torch.cuda.max_memory_allocated() / 1e9
        seconds = median(self._clock(run) for _ in range(self.repeats))
        return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    def _events(self, run: Callable[[], object]) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def _clock(self, run: Callable[[], object]) -> float:
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin


class Table:
    """Rows under heads that are as wide as the columns."""

    def __init__(self, *heads: str) -> None:
        self.widths = [max(len(head), 8) for head in heads]
        self.row(*heads)

    def row(self, *cells: str | float) -> None:
        texts = (c if isinstance(c, str) else f"{c:,.0f}" if abs(c) >= 1000 else f"{c:.4g}" for c in cells)
        show("  ".join(f"{text:>{width}}" for text, width in zip(texts, self.widths, strict=True)))


def show(line: str) -> None:
    print(line, flush=True)


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Say so where there is too little memory for a row, and go on."""
    try:
        yield
    except torch.OutOfMemoryError:
        show(f"{what}: out of memory")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def ceiling(model: VideoLLM, num_patches: int, meter: Meter) -> float:
    """TFLOP/s of the best of some matrix products: large squares, and the tower's MLP on that many patches."""
    d, m = model.tower.model.config.hidden_size, model.tower.model.config.intermediate_size
    table, best = Table("matrix product", "TFLOP/s"), 0.0
    for i, k, j in [*((s, s, s) for s in SQUARES[meter.device.type]), (num_patches, d, m), (num_patches, m, d)]:
        left, right = (torch.randn(s, dtype=model.dtype, device=model.device) for s in ((i, k), (k, j)))
        seconds, _ = meter(partial(torch.mm, left, right))
        rate = 2 * i * k * j / seconds / 1e12
        table.row(f"{i}x{k}x{j}", rate)
        best = max(best, rate)
    return best


def tower_seconds(model: VideoLLM, tower: nn.Module, clips: Sequence[FrameBatch], meter: Meter) -> float:
    pixels = torch.cat([model.transform.pixels(c.frames, model.device).to(model.dtype) for c in clips])
    return meter(lambda: [tower(part) for part in pixels.split(MAX_FRAMES_PER_FORWARD)])[0]


def connector_seconds(model: VideoLLM, clips: Sequence[FrameBatch], meter: Meter) -> float:
    encoded = model.encode_frames(clips)
    return meter(lambda: model.connect(encoded))[0]


def encode_rows(
    model: VideoLLM, case: Case, clips: Sequence[FrameBatch], batches: Sequence[int], meter: Meter, best: float
) -> None:
    """Print what encoding takes, a row a number of clips."""
    table = Table(
        "encode clips", "tower frames/s", "TFLOP/s", "of ceiling", "connector ms", "rest ms", "encode frames/s",
        "TFLOP/s", "of ceiling", "peak GB", "x plain",
    )  # fmt: skip
    tower_work, connector_work = tower_flops(model, case.side) * case.num_frames, connector_flops(model, clips[0])
    plain_rate = 0.0

    def row(label: str, some: Sequence[FrameBatch], tower: nn.Module, encode: Callable[[], object]) -> None:
        nonlocal plain_rate
        parts = tower_seconds(model, tower, some, meter), connector_seconds(model, some, meter)
        whole, peak = meter(encode)
        tower_rate, rate = len(some) * tower_work / parts[0], len(some) * (tower_work + connector_work) / whole
        frames = len(some) * case.num_frames
        plain_rate = plain_rate or frames / whole
        table.row(
            label, frames / parts[0], tower_rate / 1e12, f"{tower_rate / 1e12 / best:.1%}", 1e3 * parts[1],
            1e3 * (whole - sum(parts)), frames / whole, rate / 1e12, f"{rate / 1e12 / best:.1%}", peak,
            frames / whole / plain_rate,
        )  # fmt: skip

    plain = plain_loop.transformers_tower(model, case.side)
    row("plain 1", clips[:1], plain, lambda: plain_loop.encode(model, plain, clips[0]))
    for n in batches:
        with room_for(f"{n}"):
            row(f"{n}", clips[:n], model.tower, partial(model.encode, clips[:n]))


def answer_rows(
    model: VideoLLM,
    case: Case,
    clips: Sequence[FrameBatch],
    batches: Sequence[int],
    meter: Meter,
    new_tokens: int,
    num_checked: int,
) -> None:
    """Print what answering takes, a row a number of clips and of questions; then whether the tokens are the same."""
    table = Table("answer clips", "questions", "tokens/s", "prompt tokens/s", "peak GB", "x plain")
    tower = plain_loop.transformers_tower(model, case.side)
    visual = plain_loop.encode(model, tower, clips[0])
    num_prompt_tokens = [len(model.prompt(question, visual.layout)[0]) for question in QUESTIONS]
    plain_rates: dict[int, float] = {}
    batched: list[list[Completion]] = []

    def row(label: str, n: int, q: int, answer: Callable[[int], object]) -> None:
        first, _ = meter(partial(answer, 1))
        whole, peak = meter(partial(answer, new_tokens))
        rate = n * q * new_tokens / whole
        plain_rates.setdefault(q, rate)
        table.row(label, f"{q}", rate, n * sum(num_prompt_tokens[:q]) / first, peak, rate / plain_rates[q])

    def answer_batch(visuals: Sequence[Visual], q: int, new: int) -> None:
        asked = [Request(id=question, clip=Clip(video=""), question=question) for question in QUESTIONS[:q]]
        model.answer_batch([(v, asked) for v in visuals], Generation(max_new_tokens=new))

    for q in NUM_QUESTIONS:
        row("plain 1", 1, q, partial(plain_loop.answer, model, visual, QUESTIONS[:q]))
    for n in batches:
        for q in NUM_QUESTIONS:
            with room_for(f"{n}, {q} questions"):
                row(f"{n}", n, q, partial(answer_batch, model.encode(clips[:n]), q))
                batched = model.engine.latest

    alone = [
        plain_loop.answer(model, plain_loop.encode(model, tower, clip), QUESTIONS[: len(completions)], new_tokens)
        for clip, completions in zip(clips[:num_checked], batched, strict=False)
    ]
    both = zip(batched[:num_checked], alone, strict=True)
    pairs = [(c.ids, tuple(ids)) for clip in both for c, ids in zip(*clip, strict=True)]
    same, different = sum(together == one for together, one in pairs), len({one for _, one in pairs})
    show(f"greedy tokens of the largest batch and of the plain loop: {same}/{len(pairs)} answers the same "
         f"({different} different ones)")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 4, 16, 64), help="clips at once")
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens of every answer")
    parser.add_argument("--repeats", type=int, default=3, help="measurements whose median is printed")
    parser.add_argument("--checked", type=int, default=4, help="clips whose tokens are compared with the plain loop's")
    parser.add_argument(
        "--layers", type=int, help="keep only this number of layers of tower and LLM, to try the script out"
    )
    parser.add_argument("--width", type=int, help="cut tower and LLM to this width, likewise")
    args = parser.parse_args(arguments)
    place = torch.device(args.device)
    if place.type == "cuda" and not torch.cuda.is_available():
        print("No CUDA device here; this measures a GPU. Give --device cpu --dtype float32 --layers 2 --width 128 "
              "--batches 1 2 to try it out without one.", file=sys.stderr)  # fmt: skip
        raise SystemExit(2)
    transformers.logging.set_verbosity_error()
    where = torch.cuda.get_device_name() if place.type == "cuda" else f"CPU, torch threads: {torch.get_num_threads()}"
    show(f"{where}; torch {torch.__version__}, transformers {transformers.__version__}; {args.dtype}")
    if args.layers is not None or args.width is not None:
        kind = place.type.upper()
        show(f"These are figures of cut-down models on this {kind}: they say nothing of the full-size ones.")
    meter = Meter(device=place, repeats=args.repeats)
    for name in args.models:
        case = CASES[name]
        with torch.inference_mode():
            model = build(name, place, getattr(torch, args.dtype), args.layers, args.width)
            clips = case.clips(max(args.batches))
            num_tokens = model.num_visual_tokens(case.num_frames, case.side, case.side, packing=case.packing)
            gigabytes = sum(p.nbytes for p in model.parameters()) / 1e9
            show(f"\n{name}: {gigabytes:.1f} GB of weights; {case.num_frames} frames of {case.side} x {case.side} a "
                 f"clip, {num_tokens} visual tokens; {args.new_tokens} new tokens an answer")  # fmt: skip
            num_frames = min(len(clips) * case.num_frames, MAX_FRAMES_PER_FORWARD)
            best = ceiling(model, num_frames * prod(model.tower.grid(case.side, case.side)), meter)
            encode_rows(model, case, clips, args.batches, meter, best)
            answer_rows(model, case, clips, args.batches, meter, args.new_tokens, args.checked)
        del model
        gc.collect()  # there may not be room for both


if __name__ == "__main__":
    main()
