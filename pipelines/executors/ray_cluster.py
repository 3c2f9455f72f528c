"""The Ray cluster of a job, joined or started on this machine."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody named that network address
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # threads of Ray Data that outlive a job join no other cluster

import ray

from pipelines.executors.base import Executor, Resources, num_cpus_here
from pipelines.executors.code_shipping import code_paths
from pipelines.stages.base import StageSpec
from videollm.errors import UserError

LOCAL_CPUS: Final = 10_000
"""Logical CPUs of a cluster on this machine: the sizes of the pools decide what runs, not Ray's bookkeeping."""
FRESH_SECONDS: Final = 1.0
"""Age up to which the list of nodes is not asked for again."""


def connect(config: Executor.Config) -> None:
    """Join the cluster, or start one on this machine.

    Raises:
        UserError: there is no such cluster.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if config.address is None:
            _start_here(num_cpus=LOCAL_CPUS, include_dashboard=False, **quiet)
        else:
            ray.init(address=config.address, runtime_env={"py_modules": code_paths(config.module)}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = "on this machine" if config.address is None else f"at {config.address}"
        raise UserError(f"No Ray cluster {where}: {first_line(error)}") from error


def _start_here(**options: Any) -> None:
    """Start a cluster on this machine; a busy machine may take longer than Ray's 30 s."""
    for last in (False, False, True):
        try:
            ray.init(address="local", **options)
            return
        except Exception as error:  # Ray raises no class of its own
            ray.shutdown()
            if last or "timed out during startup" not in str(error):
                raise RuntimeError(first_line(error)) from error


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine of the cluster that is alive."""

    num_cpus: float
    num_gpus: float
    store_bytes: float
    """Size of its object store."""


class Cluster:
    """Present state of the cluster; nodes come and go.

    Args:
        is_local: whether it was started on this machine, where Ray's CPUs mean nothing.
    """

    def __init__(self, *, is_local: bool) -> None:
        self.is_local = is_local
        self._nodes: dict[str, Node] = {}
        self._looked = float("-inf")

    def nodes(self) -> dict[str, Node]:
        """Return the living nodes by id."""
        if time.monotonic() - self._looked >= FRESH_SECONDS:
            nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
            self._nodes = {n["NodeID"]: _node(n["Resources"]) for n in nodes if n["Alive"]}
            self._looked = time.monotonic()
        return self._nodes

    def lost(self, node: str | None) -> bool:
        """Tell whether a node has left the cluster, as far as the cluster knows."""
        if node is None or node not in self.nodes():
            return node is not None
        self._looked = float("-inf")  # the list may be older than what raised the question
        return node not in self.nodes()

    def resources(self) -> Resources:
        """Return the CPUs and GPUs of the machine, or of the cluster."""
        nodes = self.nodes().values()
        cpus = num_cpus_here() if self.is_local else int(sum(n.num_cpus for n in nodes))
        return Resources(num_cpus=cpus, num_gpus=sum(n.num_gpus for n in nodes))

    def free(self) -> Resources:
        """Return the CPUs and GPUs that no worker holds."""
        there: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        return Resources(num_cpus=int(there.get("CPU", 0)), num_gpus=there.get("GPU", 0.0))


def waiting_text(stages: Iterable[StageSpec], there: Resources) -> str:
    """Describe what a job waits for where the cluster has no room for a worker of these stages."""
    wanted = []
    for spec in stages:
        gpus = f" and {spec.num_gpus:g} GPUs" if spec.num_gpus else ""
        wanted.append(f"{spec.num_cpus:g} CPUs{gpus} for {spec.name}")
    return f"Waiting for {', '.join(wanted)}: the cluster has {there.num_cpus} CPUs and {there.num_gpus:g} GPUs."


def first_line(error: Exception) -> str:
    """Shorten an exception of Ray to one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _node(resources: dict[str, float]) -> Node:
    return Node(
        num_cpus=resources.get("CPU", 0.0),
        num_gpus=resources.get("GPU", 0.0),
        store_bytes=resources.get("object_store_memory", 2.0**30),
    )
