"""What a stopped training run needs to go on: the model folder, the optimiser's moments and the step."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from videollm.models.composed import VideoLLM

if TYPE_CHECKING:
    from videollm.training.loop import Job

STATE = "training.safetensors"
"""Weights that learn, the optimiser's moments and, in its metadata, the step and the job's settings."""
FINISHED = "training.json"
"""The step and the settings of a run that is done."""
FREE = {"output", "save_every", "log_every", "device", "num_threads"}
"""Settings that a resumed run may change."""


def save_state(
    output: Path, job: Job, step: int, model: VideoLLM, module: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write the model folder and, beside it, the state of training in one file, which appears whole."""
    model.save(output)
    if step == job.steps:
        (output / FINISHED).write_text(json.dumps({"step": step, "job": _settings(job)}, indent=2))
        (output / STATE).unlink(missing_ok=True)
        return
    names = {id(p): n for n, p in module.named_parameters()}
    tensors = {f"module.{n}": p.detach().contiguous() for n, p in module.named_parameters() if p.requires_grad}
    for parameter, moments in optimizer.state.items():
        tensors |= {f"optimizer.{names[id(parameter)]}.{k}": v.detach().contiguous() for k, v in moments.items()}
    scratch = output / f"{STATE}.partial"
    save_file(tensors, scratch, {"step": str(step), "job": json.dumps(_settings(job))})
    scratch.replace(output / STATE)


def load_state(output: Path, job: Job, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take up the state in the output folder; the step to go on from, 0 where there is none.

    Raises:
        ValueError: the folder holds another job, or its state is damaged.
    """
    if (output / FINISHED).exists():
        saved = json.loads((output / FINISHED).read_text())
        _compare(output, saved["job"], job)
        return int(saved["step"])
    if not (output / STATE).exists():
        return 0
    try:
        with safe_open(output / STATE, "pt") as file:
            saved = file.metadata()
            _compare(output, json.loads(saved["job"]), job)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except SafetensorError as error:
        raise ValueError(
            f"{output / STATE} is damaged ({error}). Remove it to start over, or give another -o."
        ) from error
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        with torch.no_grad():
            parameter.copy_(tensors[f"module.{name}"])
        prefix = f"optimizer.{name}."
        optimizer.state[parameter] = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return int(saved["step"])


def _compare(output: Path, saved: dict[str, Any], job: Job) -> None:
    now = json.loads(json.dumps(_settings(job)))
    changed = [f"{k}: {saved.get(k)!r} -> {now[k]!r}" for k in now if saved.get(k) != now[k]]
    if changed:
        raise ValueError(
            f"Output {output} holds a training run with other settings ({'; '.join(changed)}). "
            "Give the same settings to go on with it, or another --output."
        )


def _settings(job: Job) -> dict[str, Any]:
    return {k: v for k, v in asdict(job).items() if k not in FREE}
