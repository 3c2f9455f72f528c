"""An LLM over several devices, here processes on the CPU: what one process says, and what happens when one is lost."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import videollm
from tests.support import official
from tests.support.paths import GOLDEN, ROOT
from tests.support.tensors import read
from tests.support.tiny_llms import clips, llm, tokenizer
from videollm import VideoLLM
from videollm.checkpoints.weights import find, give
from videollm.engines import sharding
from videollm.engines.builtin import BuiltinEngine
from videollm.engines.link import Link
from videollm.engines.parallel import ParallelEngine
from videollm.engines.team import PEER
from videollm.errors import EngineLost
from videollm.types import Clip, Generation, Request

QUESTIONS = ("What happens?", "Why?", "Describe the colours in detail, please.")
GREEDY = Generation(max_new_tokens=24)
SAMPLED = Generation(max_new_tokens=24, temperature=1.0, top_p=0.95, repetition_penalty=1.1, seed=3, stop=("a",))
DENSE = ("qwen2", "qwen2-sliding", "qwen3", "llama", "mistral", "mistral-sliding", "qwen3.5")


class Threads:
    """Stands for a team: the other processes are threads of this one."""

    def __init__(self, pipes: list[Any]) -> None:
        self.pipes = pipes

    @contextmanager
    def call(self, message: Any) -> Iterator[None]:
        for pipe in self.pipes:
            pipe.send_bytes(pickle.dumps(message))
        yield

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.send_bytes(pickle.dumps(None))


def in_threads(name: str, attention: str, size: int, meeting: Path) -> ParallelEngine:
    links = [Link(rank, size) for rank in range(size)]
    parts = []
    for link in links:
        part = llm(name, attention)
        weights = part.state_dict()
        for parameter, cut in sharding.shard(part, link).items():
            owner, _, leaf = parameter.rpartition(".")
            setattr(part.get_submodule(owner), leaf, torch.nn.Parameter(cut.of(weights[parameter]).clone()))
        parts.append(part)
    pipes = [Pipe() for _ in links[1:]]

    def serve(rank: int) -> None:
        links[rank].connect(meeting, torch.device("cpu"))
        ParallelEngine(parts[rank], tokenizer(), link=links[rank]).serve(pipes[rank - 1][1])

    for rank in range(1, size):
        threading.Thread(target=serve, args=(rank,), daemon=True).start()
    links[0].connect(meeting, torch.device("cpu"))
    team: Any = Threads([ours for ours, _ in pipes])
    return ParallelEngine(parts[0], tokenizer(), link=links[0], team=team)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", DENSE)
def test_parts_of_an_llm_say_what_the_whole_says(name: str, attention: str, tmp_path: Path) -> None:
    whole, parts = BuiltinEngine(llm(name, attention), tokenizer()), in_threads(name, attention, 2, tmp_path / "m")
    asked = clips(32, (5, 3), (90, 5), (0, 2), (20, 1))
    for generation in (GREEDY, SAMPLED):
        assert parts.generate(asked, generation) == whole.generate(asked, generation)
    texts = [[[(5,), (5, 9, 30), (5, 9, 31)] for _ in prompts] for _, prompts in asked]
    for made, expected in zip(*(e.generate(asked, GREEDY, continuations=texts) for e in (parts, whole)), strict=True):
        for mine, theirs in zip(made, expected, strict=True):
            assert mine.scores == pytest.approx(theirs.scores, abs=1e-4)


def test_each_part_is_held_once() -> None:
    whole = sum(p.numel() for p in llm("qwen2").parameters())
    doubled = 0
    for rank in range(2):
        part = llm("qwen2", vocab_size=264)
        cuts = sharding.shard(part, Link(rank, 2))
        assert "lm_head.weight" in cuts
        doubled += sum(p.numel() for name, p in part.named_parameters() if name not in cuts)
        halves = {name: cut.of(part.get_parameter(name)) for name, cut in cuts.items()}
        assert all(2 * halves[name].numel() == part.get_parameter(name).numel() for name in cuts)
    # Twice there are the input embedding and the norms, and nothing else.
    assert doubled == 2 * (264 * 32 + 7 * 32)
    assert doubled < whole


def test_only_the_part_is_taken_into_memory() -> None:
    model = videollm.checkpoints.outline(videollm.checkpoints.Options(name=str(GOLDEN / "vila_s2_tiny")))
    family = videollm.checkpoints.FAMILIES.load("llava_llama")
    folder = GOLDEN / "vila_s2_tiny"
    found = find(model, family.sources(folder, family.read_config(folder, videollm.checkpoints.Options(name="v"))))
    cuts = {f"llm.{name}": cut for name, cut in sharding.shard(model.llm, Link(1, 2)).items()}
    give(model, found, device=lambda _: "cpu", dtype=torch.float32, cuts=cuts)
    for name, cut in cuts.items():
        weight = model.get_parameter(name)
        assert weight.shape[cut.dim] == cut.length
        assert weight.untyped_storage().nbytes() == 4 * weight.numel()


def golden(name: str, folder: Path) -> tuple[Path, Path]:
    """A checkpoint whose key heads two processes can share, and the clip that it was asked about."""
    facts = read(GOLDEN / name / "golden.safetensors.gz")[1]
    made = official.copy(name, folder)
    if name == "qwen25vl_tiny":  # one key head: as two that are the same, it says the same
        config = official.json.loads((made / "config.json").read_text())
        config.get("text_config", config)["num_key_value_heads"] = 2
        (made / "config.json").write_text(official.json.dumps(config))
        official.rewrite(made, lambda weights: {
            k: torch.cat([v, v]) if ".self_attn.k_proj." in k or ".self_attn.v_proj." in k else v
            for k, v in weights.items()
        })  # fmt: skip
    return made, official.clip(facts["video"])


def answers(model: VideoLLM, video: Path, generation: Generation) -> list[list[tuple[str, str]]]:
    visuals = model.connect(model.encode_frames([model.decode(video)] * 2))
    rows = [[Request(id=f"{i}.{q}", clip=Clip(video=str(video)), question=q) for q in QUESTIONS[i:]] for i in range(2)]
    made = model.answer_batch(list(zip(visuals, rows, strict=True)), generation)
    return [[(a.text, a.finish_reason) for a in of_clip] for of_clip in made]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("qwen25vl_tiny", 2),
        pytest.param("vila_s2_tiny", 2, marks=pytest.mark.slow),
        pytest.param("videollama2_tiny", 2, marks=pytest.mark.slow),
        pytest.param("minigemini_tiny", 4, marks=pytest.mark.slow),
    ],
)
def test_processes_say_what_one_says(name: str, size: int, tmp_path: Path) -> None:
    folder, video = golden(name, tmp_path)
    one = videollm.load(folder, device="cpu")
    several = videollm.load(folder, device="cpu", engine_config={"num_devices": size})
    for generation in (GREEDY, SAMPLED):
        assert answers(several, video, generation) == answers(one, video, generation)
    with pytest.raises(ValueError, match=r"lie on \d devices.*load it on one device"):
        several.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="runs only where all are told to"):
        several.llm.lm_head(torch.zeros(1, 1, several.llm.config.hidden_size))


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("qwen25vl_tiny", {"num_devices": 2}, "has 1 key heads, which 2 devices cannot share. Use 1"),
        ("videollama2_tiny", {"num_devices": 4}, r"has 2 key heads, which 4 devices cannot share. Use 1, 2\."),
        ("qwen3vl_tiny", {"num_devices": 2}, "no plan for it. Use one device"),
        ("vila_s2_tiny", {"num_devices": 2.0}, "expected a whole number"),
        ("vila_s2_tiny", {"num_devices": 0}, "expected a whole number"),
    ],
)
def test_what_cannot_be_spread_is_refused_unread(
    name: str, config: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videollm.checkpoints.assemble.give", None)
    with pytest.raises(ValueError, match=message):
        videollm.load(GOLDEN / name, device="cpu", engine_config=config)


def test_mixtures_of_experts_are_refused() -> None:
    with pytest.raises(ValueError, match="mixtral: its plan has moe_tp_experts, packed_colwise"):
        sharding.check(llm("mixtral"), 2)


def peers(process: psutil.Process) -> list[psutil.Process]:
    return [p for p in process.children() if PEER in p.cmdline()]


def gone(processes: list[psutil.Process]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            return True
        time.sleep(0.05)
    return False


def ask(model: VideoLLM, **options: Any) -> Any:
    ids = model.tokenizer("What happens?")["input_ids"]
    width = model.llm.config.hidden_size
    return model.engine.generate([(torch.zeros(0, width), [ids])], replace(GREEDY, max_new_tokens=100), **options)


def test_a_lost_process_ends_the_engine_not_the_program(tmp_path: Path) -> None:
    folder, _ = golden("vila_s2_tiny", tmp_path)
    here = psutil.Process()
    before = peers(here)
    model = videollm.load(folder, device="cpu", engine_config={"num_devices": 2})
    assert isinstance(model, VideoLLM)
    (peer,) = [p for p in peers(here) if p not in before]
    ask(model)
    # Killed in the middle of a call: this process waits for it in a sum.
    with pytest.raises(EngineLost, match=r"on 2 devices is gone: the process of device 1 ended \(signal 9\)"):
        ask(model, on_text=lambda _: peer.send_signal(signal.SIGKILL))
    with pytest.raises(EngineLost, match="signal 9"):
        ask(model)


@pytest.mark.slow
def test_a_failed_call_ends_all_processes(tmp_path: Path) -> None:
    folder, _ = golden("vila_s2_tiny", tmp_path)
    here = psutil.Process()
    before = peers(here)
    model = videollm.load(folder, device="cpu", engine_config={"num_devices": 2})
    assert isinstance(model, VideoLLM)
    others = [p for p in peers(here) if p not in before]

    def fail(text: str) -> None:
        raise OSError("nobody listens")

    with pytest.raises(EngineLost, match=r"a call failed \(OSError: nobody listens\). Load the model again"):
        ask(model, on_text=fail)
    assert gone(others)


@pytest.mark.slow
def test_processes_end_with_the_model_and_with_their_parent(tmp_path: Path) -> None:
    folder, _ = golden("vila_s2_tiny", tmp_path)
    code = (
        "import gc, sys, threading, videollm\n"
        "def load(): made.append(videollm.load(sys.argv[1], device='cpu', engine_config={'num_devices': 2}))\n"
        "made = []\n"
        "for _ in range(2):\n"
        "    thread = threading.Thread(target=load); thread.start(); thread.join()\n"  # outlived by what it loads
        "    print('loaded', flush=True); sys.stdin.readline(); made.clear(); gc.collect()\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "loaded\n"
    first = peers(psutil.Process(child.pid))
    assert len(first) == 1
    child.stdin.write("\n")
    child.stdin.flush()
    assert gone(first)
    assert child.stdout.readline() == "loaded\n"
    second = peers(psutil.Process(child.pid))
    assert len(second) == 1
    child.kill()
    assert gone(second)
    child.wait()
