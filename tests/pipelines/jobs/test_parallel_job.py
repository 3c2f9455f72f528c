"""Jobs with an LLM over several devices: what `--gpus-per-llm` becomes, and rows that are those of one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.cli import caption
from pipelines.cli.options import GenerationOptions, ModelOptions, WorkerOptions
from pipelines.executors.base import Resources
from pipelines.executors.local import run_stage
from pipelines.executors.ray_worker import StageWorker
from pipelines.jobs import plan as planning
from pipelines.jobs import resolve as resolving
from pipelines.jobs.plan import Plan
from pipelines.jobs.resolve import resolve_job
from pipelines.results.journal import read_rows
from pipelines.stages.base import Item, Stage, StageResult, StageSpec
from pipelines.stages.batching import Attempts
from tests.support.cluster import Cluster
from tests.support.driver import Driver, write_manifest
from videollm import VideoLLM
from videollm.checkpoints import Options, load_with
from videollm.errors import EngineLost, UserError


def job(clips: Path, output: Path, model: str, device: str = "auto", **workers: Any) -> caption.CaptionOptions:
    return caption.CaptionOptions(
        inputs=(str(clips),),
        output=output,
        model=ModelOptions(model=model, device=device),
        generation=GenerationOptions(max_new_tokens=8),
        workers=WorkerOptions(num_decoders=1, **workers),
    )


def planned(clips: Path, model: str, **workers: Any) -> Plan:
    return Plan(resolved=resolve_job(job(clips, clips / "out", model, **workers).batch_job({})), requests=[])


def stages(plan: Plan, num_gpus: float) -> list[tuple[str, float, dict[str, Any], bool, int]]:
    specs = plan.model_stages(plan.sizes(Resources(num_cpus=16, num_gpus=num_gpus)))
    return [
        (s.name, s.num_gpus, dict(s.config.model.engine_config), s.config.model.answers, s.num_workers) for s in specs
    ]


def test_gpus_of_a_worker_are_the_devices_of_its_llm(clips: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (resolving, planning):
        monkeypatch.setattr(module, "num_gpus_here", lambda: 4.0)
    whole = planned(clips, model, gpus_per_llm=4)
    assert stages(whole, 4) == [("EncodeAnswer", 4, {"num_devices": 4}, True, 1)]
    assert stages(planned(clips, model, gpus_per_llm=2), 8) == [("EncodeAnswer", 2, {"num_devices": 2}, True, 4)]
    assert stages(planned(clips, model, gpus_per_llm=0.5), 1) == [("EncodeAnswer", 0.5, {"memory_share": 0.5}, True, 2)]
    assert stages(planned(clips, model), 2) == [("EncodeAnswer", 1, {}, True, 2)]
    assert stages(planned(clips, model, gpus_per_llm=3, split_llm=True), 4) == [
        ("Encode", 1, {}, False, 1),
        ("Answer", 3, {"num_devices": 3}, True, 1),
    ]
    # One model that takes all GPUs of the machine needs no Ray; beside two of its kind there are others to start.
    assert whole.executor_name(10, interrupted=False) == "local"
    assert planned(clips, model, gpus_per_llm=2).executor_name(10, interrupted=False) == "ray_actors"


@pytest.mark.parametrize(
    ("flag", "number", "said"),
    [
        ("gpus_per_llm", 2.5, "--gpus-per-llm is 2.5, expected a whole number, or a share of one GPU"),
        ("gpus_per_encoder", 1.5, "--gpus-per-encoder is 1.5, expected a whole number"),
        ("gpus_per_llm", 4, "--gpus-per-llm is 4, and torch sees 2 GPUs on this machine"),
    ],
)
def test_wrong_numbers_of_gpus(
    clips: Path, model: str, monkeypatch: pytest.MonkeyPatch, flag: str, number: float, said: str
) -> None:
    monkeypatch.setattr(resolving, "num_gpus_here", lambda: 2.0)
    with pytest.raises(UserError, match=said):
        planned(clips, model, **{flag: number})


@pytest.mark.parametrize("split_llm", [False, True])
def test_rows_are_those_of_one_process(clips: Path, tmp_path: Path, split_llm: bool) -> None:
    told = []
    for name, workers in (("one", {}), ("two", {"gpus_per_llm": 2, "split_llm": split_llm})):
        caption.main(job(clips, tmp_path / name, "tiny-stc", "cpu", executor="local", **workers))
        told.append(
            {r["id"]: (r["status"], r["answer"], r["num_generated_tokens"]) for r in read_rows(tmp_path / name)}
        )
    assert told[0] == told[1]
    assert {status for status, *_ in told[1].values()} == {"ok"}


@pytest.mark.slow
def test_a_worker_on_a_cluster_takes_all_its_gpus(clips: Path, tmp_path: Path) -> None:
    """The GPUs are Ray's tokens alone; the processes compute on the CPU."""
    requests = write_manifest(tmp_path / "requests.jsonl", sorted(clips.glob("*.mp4")), 40)
    with Cluster(num_nodes=1) as cluster:
        cluster.add_nodes(1, num_gpus=2)
        driver = Driver(cluster, requests, tmp_path / "out", "--gpus-per-llm", 2, "--device", "cpu")
        try:
            driver.finish()
            assert {r["status"] for r in driver.rows().values()} == {"ok"}
            assert len(driver.rows()) == 40
        finally:
            driver.close()


def test_an_encoder_does_not_load_the_llm(model: str, clips: Path) -> None:
    whole, encoder = (load_with(Options(name=model, device="cpu", answers=answers)) for answers in (True, False))
    assert isinstance(encoder, VideoLLM)
    loaded = [name for name, weight in encoder.llm.named_parameters() if not weight.is_meta]
    assert loaded == ["model.embed_tokens.weight"]
    batch = whole.decode(clips / "clip0.mp4")
    made = [m.connect(m.encode_frames([batch]))[0].tokens for m in (whole, encoder)]
    assert torch.equal(*made)
    facts = [vars(m.describe(with_tower_key=True)) for m in (whole, encoder)]
    assert facts[0] == facts[1]


class Losing(Stage):
    """Its engine is lost at once."""

    def __init__(self, config: None) -> None:
        pass

    def run(self, items: Sequence[Item]) -> list[StageResult]:
        attempts: Attempts[Item, StageResult] = Attempts(items)
        for _ in attempts:
            with attempts:
                raise EngineLost("device 1 is gone")
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class Anything:
    """An item that nobody looks at."""

    payload: object = None


def test_a_lost_engine_ends_its_worker() -> None:
    items: Any = [Anything()]
    with pytest.raises(EngineLost):
        run_stage(Losing(None), items)
    with pytest.raises(SystemExit, match="device 1 is gone"):
        StageWorker(StageSpec(stage=Losing, config=None)).run(items, None)
