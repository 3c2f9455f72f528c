"""An LLM over several devices: the parts of it that processes beside this one load and run.

Such a process runs `python -m videollm.checkpoints.peer DESCRIPTOR PARENT`. It holds a part of the LLM and nothing else
of the model, takes part in the calls of the first process, and dies with it. Which tensors of which files are whose is
found out, and checked, by the first process alone.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedTokenizerBase

from videollm.checkpoints.weights import Found, give, without_weights
from videollm.engines import sharding
from videollm.engines.base import Engine
from videollm.engines.link import Link
from videollm.engines.parallel import ParallelEngine
from videollm.engines.team import LOADED, Team
from videollm.lifeline import die_with
from videollm.models.backbones import build_llm
from videollm.models.composed import VideoLLM
from videollm.models.config import build_part

LLM: Final = "llm."


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a process is told."""

    llm: dict[str, Any]
    """Fields of the LLM's configuration."""
    tokenizer: PreTrainedTokenizerBase
    found: Found
    """Where the weights of the LLM lie."""
    device: str
    dtype: torch.dtype
    settings: Engine.Config
    num_threads: int
    """Of torch on the CPU."""


class Spread:
    """The processes that load parts of an LLM beside this one, which has the first.

    Args:
        model: without weights; its LLM becomes the part that is this process's.
        found: where the weights lie.
        settings: of the engine.
        device: cpu, or cuda for cuda:0, cuda:1, ...
        dtype: of the weights.
    """

    def __init__(self, model: VideoLLM, found: Found, settings: Engine.Config, device: str, dtype: torch.dtype) -> None:
        self.settings, self.link = settings, Link(0, settings.num_devices)
        make: Callable[..., Task] = partial(
            Task,
            llm=model.config.llm,
            tokenizer=model.tokenizer,
            found={name: entries for name, entries in found.items() if name.startswith(LLM)},
            dtype=dtype,
            settings=settings,
            num_threads=torch.get_num_threads(),
        )
        self.team = Team([make(device=device_of(device, rank)) for rank in range(1, settings.num_devices)])
        self.cuts = _shard(model.llm, self.link)

    def join(self, model: VideoLLM) -> Engine:
        """Wait for the others, and make the engine, once the model has its weights."""
        self.team.wait_until_loaded()
        self.link.connect(self.team.meeting, model.device)
        return ParallelEngine(model.llm, model.tokenizer, self.settings, link=self.link, team=self.team)


def device_of(device: str, rank: int) -> str:
    """Name the device of a process."""
    return f"{device}:{rank}" if device == "cuda" else device


def main(descriptor: int, parent: int) -> None:
    """Load a part of an LLM, and take part in calls until there are no more."""
    die_with(parent)
    os.dup2(2, 1)  # what a library prints is not for whoever reads what the first process prints
    pipe = Connection(descriptor)
    try:
        rank, size, meeting, task = pickle.loads(pipe.recv_bytes())
        _serve(pipe, Link(rank, size), meeting, task)
    except Exception as error:
        traceback.print_exc()
        pipe.send_bytes(pickle.dumps(f"{type(error).__name__}: {error}"))
        sys.exit(1)


def _serve(pipe: Connection, link: Link, meeting: Path, task: Task) -> None:
    if task.device == "cpu":
        torch.set_num_threads(task.num_threads)
    with without_weights():
        llm = build_llm(build_part("llm", AutoConfig.for_model, task.llm))
    cuts = _shard(llm, link)
    give(nn.ModuleDict({"llm": llm}), task.found, device=lambda _: task.device, dtype=task.dtype, cuts=cuts)
    llm.tie_weights()
    llm.to(task.device).eval()  # type: ignore[arg-type]  # transformers wraps the method
    engine = ParallelEngine(llm, task.tokenizer, task.settings, link=link)
    pipe.send_bytes(pickle.dumps(LOADED))
    link.connect(meeting, llm.device)
    engine.serve(pipe)


def _shard(llm: Any, link: Link) -> dict[str, sharding.Slice]:
    return {f"{LLM}{name}": cut for name, cut in sharding.shard(llm, link).items()}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
