"""Peak memory and time of loading a checkpoint, against the size of its weights.

    python benchmarks/loading.py [--gigabytes 2] [--dtype bfloat16]

Writes a random VideoLLaMA2 checkpoint of that size in bfloat16, in shards, and loads it in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TINY = Path(__file__).parents[1] / "tests" / "golden" / "videollama2_tiny"
WIDE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
}
LAYERS_A_GIGABYTE = 33


def write(folder: Path, gigabytes: float) -> None:
    """A checkpoint whose LLM has most of the weights."""
    from connectors import build_connector

    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    num_layers = round(LAYERS_A_GIGABYTE * gigabytes)
    config = json.loads((TINY / "config.json").read_text()) | WIDE | {"num_hidden_layers": num_layers}
    (folder / "config.json").write_text(json.dumps(config))
    tiny = load_file(TINY / "model.safetensors")
    tower = {k: v for k, v in tiny.items() if "vision_tower" in k}
    connector = build_connector("stc", d_vision=32, d_llm=1024).state_dict()
    shards = [tower | {f"model.mm_projector.{k}": v for k, v in connector.items()}]
    d, i, kv = 1024, 4096, 256
    of_layer = {"self_attn.q_proj": (d, d), "self_attn.k_proj": (kv, d), "self_attn.v_proj": (kv, d)}
    of_layer |= {"self_attn.o_proj": (d, d), "mlp.gate_proj": (i, d), "mlp.up_proj": (i, d), "mlp.down_proj": (d, i)}
    of_layer |= {"input_layernorm": (d,), "post_attention_layernorm": (d,)}
    shards[0] |= {"model.embed_tokens.weight": torch.randn(264, d), "lm_head.weight": torch.randn(264, d)}
    shards[0] |= {"model.norm.weight": torch.ones(d)}
    placed = {}
    for first in range(0, num_layers, 16):
        layers = range(first, min(first + 16, num_layers))
        shards.append({f"model.layers.{n}.{k}.weight": torch.randn(s) for n in layers for k, s in of_layer.items()})
        shards[-1] = {k: v.bfloat16() for k, v in shards[-1].items()}
    for n, shard in enumerate(shards):
        name = f"model-{n + 1:05}-of-{len(shards):05}.safetensors"
        save_file({k: v.bfloat16().contiguous() for k, v in shard.items()}, folder / name, {"format": "pt"})
        placed |= dict.fromkeys(shard, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))


def measure(folder: str, dtype: str) -> None:
    """Load, and print what it took."""
    import videollm

    videollm.load(TINY, device="cpu")  # imports and first-time work are not the checkpoint's
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _memory("VmRSS")
    start = time.perf_counter()
    model = videollm.load(folder, device="cpu", dtype=dtype)
    seconds = time.perf_counter() - start
    peak = _memory("VmHWM") - before
    size = sum(p.nbytes for p in model.parameters())
    print(f"{dtype}: weights {size / 1e9:.2f} GB, peak {peak / 1e9:.2f} GB = {peak / size:.3f} x, {seconds:.1f} s")


def _memory(field: str) -> int:
    """Bytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--dtype", nargs="*", default=["bfloat16", "float32"])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.dtype[0])
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "checkpoint"
        write(folder, options.gigabytes)
        for dtype in options.dtype:
            subprocess.run([sys.executable, __file__, "--measure", str(folder), "--dtype", dtype], check=True)


if __name__ == "__main__":
    main()
