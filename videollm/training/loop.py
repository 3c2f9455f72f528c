"""The training loop: a seed, a log, and states from which a stopped run goes on to the same weights."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from videollm.errors import VideollmError
from videollm.training.config import TrainingConfig
from videollm.training.objectives.base import Objective
from videollm.training.parts import freeze_others
from videollm.training.state import load_state, save_state

LOG = "train.jsonl"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of `train` after a step."""

    step: int
    """Steps that are done."""
    line: dict[str, Any] | None
    """Line added to the log at this step, if any."""


def train(
    objective: Objective,
    config: TrainingConfig,
    *,
    output: Path,
    settings: Mapping[str, Any],
    on_step: Callable[[Progress], None] | None = None,
) -> None:
    """Run training, from the last saved state on if there is one.

    Args:
        objective: what to lower.
        config: how.
        output: folder of the trained model, its log and what a resumed run needs.
        settings: JSON-able, all that the run's numbers depend on; a resumed run must have the same.
        on_step: is told of every step.
    Raises:
        UserError: the output folder holds a run with other settings, or its state is damaged.
        VideoError: a video cannot be decoded.
    """
    module = objective.module
    freeze_others(objective.model, config.train)
    learned = {n: p for n, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(learned.values(), lr=config.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    first = load_state(output, settings, module, optimizer)
    steps = _Steps(objective.batch, first, config.steps)
    # One process makes batches ahead. They are a function of their number alone, so that a run which goes on gets the
    # batches that it would have got.
    loader = DataLoader(steps, batch_size=None, num_workers=1, prefetch_factor=4, collate_fn=_as_it_is)
    window = _Window()
    module.train()
    for step, batch in enumerate(loader, first):
        if isinstance(batch, Exception):
            raise batch
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _rate(step, config.steps)
        device = config.device.partition(":")[0]
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
            loss, scores = objective.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learned.values(), 1.0)
        optimizer.step()
        window.add(float(loss.detach()), scores)
        done, line = step + 1, None
        if done % config.log_every == 0 or done == config.steps:
            line = {"step": done, **window.line(), "learning_rate": optimizer.param_groups[0]["lr"]}
            _log(output, line)
            window = _Window()
        if done % config.save_every == 0 or done == config.steps:
            save_state(output, settings, done, objective.model, module, optimizer, finished=done == config.steps)
        if on_step is not None:
            on_step(Progress(step=done, line=line))


class _Steps(Dataset[Any]):
    """Batches by step, so that a loader can make them ahead."""

    def __init__(self, make: Callable[[int], Any], first: int, last: int) -> None:
        self.make, self.first, self.last = make, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, i: int) -> Any:
        """Make the batch of the i-th step from the first, or return the error: a loader garbles what is raised."""
        try:
            return self.make(self.first + i)
        except (VideollmError, OSError) as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


def _rate(step: int, steps: int) -> float:
    """Return the share of the highest learning rate: a linear warm-up, then a cosine down to a hundredth."""
    warm_up = max(1, min(50, steps // 20))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _log(output: Path, line: Mapping[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with (output / LOG).open("a") as log:
        log.write(json.dumps(line) + "\n")


class _Window:
    """Figures since the last line of the log."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.scores: dict[str, list[float]] = defaultdict(list)
        self.began = time.perf_counter()

    def add(self, loss: float, scores: Mapping[str, float]) -> None:
        self.losses.append(loss)
        for kind, score in scores.items():
            self.scores[kind].append(score)

    def line(self) -> dict[str, Any]:
        means = {k: round(sum(v) / len(v), 3) for k, v in sorted(self.scores.items())}
        answers = [v for k, v in means.items() if k not in ("caption", "drill")]
        return {
            "loss": round(sum(self.losses) / len(self.losses), 4),
            "right": round(sum(answers) / max(1, len(answers)), 3),
            "steps_per_second": round(len(self.losses) / (time.perf_counter() - self.began), 2),
            "kinds": means,
        }
