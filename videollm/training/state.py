"""The state of a training run: the model folder, the optimiser's moments and the step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from videollm.errors import UserError
from videollm.models.trainable import TrainableModel

STATE: Final = "training.safetensors"
"""Weights that learn, the optimiser's moments and, in its metadata, the step and the run's settings."""
FINISHED: Final = "training.json"
"""The step and the settings of a run that is done."""


def save_state(
    output: Path,
    settings: Mapping[str, Any],
    step: int,
    model: TrainableModel,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    finished: bool,
) -> None:
    """Write the model folder and, beside it, the state of training in one file, which appears whole.

    Args:
        settings: what a resumed run must have too.
        module: holds all that learns.
        finished: nothing is left to do, so that the state is not kept.
    """
    model.save(output)
    if finished:
        (output / FINISHED).write_text(json.dumps({"step": step, "job": dict(settings)}, indent=2))
        (output / STATE).unlink(missing_ok=True)
        return
    names = {id(p): n for n, p in module.named_parameters()}
    tensors = {f"module.{n}": p.detach().contiguous() for n, p in module.named_parameters() if p.requires_grad}
    for parameter, moments in optimizer.state.items():
        tensors |= {f"optimizer.{names[id(parameter)]}.{k}": v.detach().contiguous() for k, v in moments.items()}
    scratch = output / f"{STATE}.partial"
    save_file(tensors, scratch, {"step": str(step), "job": json.dumps(dict(settings))})
    scratch.replace(output / STATE)


def load_state(output: Path, settings: Mapping[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take up the state in the output folder, and return the step to go on from: 0 where there is none.

    Raises:
        UserError: the folder holds a run with other settings, or its state is damaged.
    """
    if (output / FINISHED).exists():
        saved = json.loads((output / FINISHED).read_text())
        _compare(output, saved["job"], settings)
        return int(saved["step"])
    if not (output / STATE).exists():
        return 0
    try:
        with safe_open(output / STATE, "pt") as file:
            saved = file.metadata()
            _compare(output, json.loads(saved["job"]), settings)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except SafetensorError as error:
        raise UserError(
            f"{output / STATE} is damaged ({error}). Remove it to start over, or give another output."
        ) from error
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        with torch.no_grad():
            parameter.copy_(tensors[f"module.{name}"])
        prefix = f"optimizer.{name}."
        optimizer.state[parameter] = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return int(saved["step"])


def _compare(output: Path, saved: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(dict(settings)))
    changed = [f"{k}: {saved.get(k)!r} -> {now[k]!r}" for k in now if saved.get(k) != now[k]]
    if changed:
        raise UserError(
            f"Output {output} holds a training run with other settings ({'; '.join(changed)}). "
            "Give the same settings to go on with it, or another output."
        )
