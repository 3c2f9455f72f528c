"""Ray clusters of several nodes on this machine, whose nodes can be lost.

Nodes live in namespaces (tests.support.namespaces), each with an IP address and all ports of its own; where there are
none they are groups of processes side by side.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from tests.support import namespaces
from tests.support.paths import ROOT

STORE_BYTES: Final = 150 * 2**20
"""Object store of a node."""
HEALTH: Final = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "4",
}
"""Threshold x (period + timeout): a silent node is lost after about 16 s; by Ray's defaults after 65 s (measured)."""
MAX_STARTS: Final = 3
_AUTOSCALING: Final = """
import sys
from ray.cluster_utils import AutoscalingCluster

class Autoscaling(AutoscalingCluster):
    # Ray's own reads what its configuration has in common with others from a file that its wheels lack.
    def _generate_config(self, head_resources, worker_node_types, **options):
        provider = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True,
                    "disable_launch_config_check": True}
        head = {"resources": head_resources, "node_config": {}, "max_workers": 0}
        none = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
                "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude",
                "rsync_filter")
        return {"cluster_name": "fake", "max_workers": 2, "upscaling_speed": 1.0, "provider": provider,
                "head_node_type": "ray.head.default", "auth": {}, "docker": {}, "file_mounts": {},
                "available_node_types": {**worker_node_types, "ray.head.default": head},
                "file_mounts_sync_continuously": False, **{name: [] for name in none}, **options}

resources = {"CPU": int(sys.argv[1]), "object_store_memory": int(sys.argv[2])}
worker = {"resources": resources, "node_config": {}, "min_workers": 0, "max_workers": 2}
cluster = Autoscaling(head_resources={"CPU": 0, "object_store_memory": int(sys.argv[2])},
                      worker_node_types={"worker": worker}, idle_timeout_minutes=10)
cluster.start(override_env={"AUTOSCALER_UPDATE_INTERVAL_S": sys.argv[3]})
"""
_MARK: Final = "VIDEOLLM_TEST_NODE"
"""Environment variable that tells whose process it is."""


class Group:
    """A machine that is but a group of processes among those of this one."""

    ip = "127.0.0.1"

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)

    def command(self, arguments: Sequence[str], folder: Path | None = None) -> list[str]:
        """The command that runs `arguments` as one of the group, in a folder (by default this process's)."""
        return ["env", f"--chdir={folder or Path.cwd()}", f"{_MARK}={self.mark}", *arguments]

    def processes(self) -> list[psutil.Process]:
        """Processes of the group and what they have started."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == self.mark:
                    found.append(process)
        return found

    def kill(self) -> None:
        """End all processes (SIGKILL), also those that start meanwhile, and wait until they are gone."""
        while left := self.processes():
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=30)


class Neighbours:
    """Groups that share an address."""

    def __init__(self) -> None:
        self._groups: list[Group] = []

    def add(self) -> Group:
        """Make a machine."""
        self._groups.append(Group())
        return self._groups[-1]

    def lose(self, group: Group) -> None:
        """Lose a machine; the others hear that its connections are closed."""
        group.kill()

    def close(self) -> None:
        """End all machines."""
        for group in self._groups:
            group.kill()


Node = namespaces.Box | Group


class Cluster:
    """A head and other nodes; use it as a context manager.

    Args:
        num_nodes: the head included; 0 is for `start_autoscaling`.
        num_cpus: of each node, logical ones.
        environment: of all nodes and drivers, besides that of this process.
        in_namespaces: None is where they work.
    """

    address: str
    """For `--address`."""

    def __init__(
        self,
        num_nodes: int = 3,
        num_cpus: int = 2,
        *,
        environment: Mapping[str, str] | None = None,
        in_namespaces: bool | None = None,
    ) -> None:
        self.in_namespaces = namespaces.why_not() is None if in_namespaces is None else in_namespaces
        self.nodes: list[Node] = []
        """The head is the first."""
        self._num_nodes, self._num_cpus = num_nodes, num_cpus
        self._environment = {
            **os.environ,
            **HEALTH,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **(environment or {}),
        }

    def __enter__(self) -> Cluster:
        self._folder = Path(tempfile.mkdtemp(prefix="rc-"))  # short: the path of a socket may have 107 bytes
        self._network = namespaces.Network() if self.in_namespaces else Neighbours()
        try:
            if self._num_nodes > 0:
                self.add_nodes(1, num_cpus=self._num_cpus)
                self.add_nodes(self._num_nodes - 1, num_cpus=self._num_cpus)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._network.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add_nodes(self, number: int, *, num_cpus: int = 2, num_gpus: int = 0) -> list[Node]:
        """Have machines join, and wait until they have.

        Args:
            num_gpus: GPUs of each that Ray believes in.
        """
        added = [self._network.add() for _ in range(number)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: self._start_ray(node, num_cpus, num_gpus), added))
        self.nodes += added
        return added

    def start_autoscaling(self, *, num_cpus: int, interval_seconds: int) -> None:
        """Start a head without CPUs that has nodes join as they are asked for; in namespaces only.

        Args:
            num_cpus: of a node that joins.
            interval_seconds: how often it looks at what is asked for.
        """
        assert self.in_namespaces, "AutoscalingCluster stops all of Ray on the machine."
        self.nodes.append(self._network.add())
        self.address = f"{self.nodes[0].ip}:6379"
        self._environment |= {
            "RAY_TMPDIR": str(self._folder),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        self._call(self.nodes[0], sys.executable, "-c", _AUTOSCALING, num_cpus, STORE_BYTES, interval_seconds)

    def kill_node(self, node: Node) -> None:
        """Lose a machine: nothing on it ends in order, and in namespaces nothing says that it is gone."""
        self.nodes.remove(node)
        self._network.lose(node)

    def popen(
        self, *arguments: object, node: Node | None = None, cwd: Path | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a process on a node, by default the head."""
        node = node or self.nodes[0]
        folder = self._folder / f"tmp-{self._label(node)}"
        folder.mkdir(exist_ok=True)
        environment = {**self._environment, "TMPDIR": str(folder)}
        return subprocess.Popen(node.command([str(a) for a in arguments], cwd), env=environment, text=True, **options)

    def _start_ray(self, node: Node, num_cpus: int, num_gpus: int) -> None:
        if self.nodes:
            role = ["--address", self.address]
        else:
            port = self.free_port()
            self.address = f"{node.ip}:{port}"
            role = ["--head", "--port", port, "--include-dashboard", "false"]
        size = ["--num-cpus", num_cpus, "--num-gpus", num_gpus, "--object-store-memory", STORE_BYTES]
        place = ["--node-ip-address", node.ip, "--temp-dir", self._folder / self._label(node)]
        ports = ["--min-worker-port", 0, "--max-worker-port", 0]
        start = [sys.executable, "-m", "ray.scripts.scripts", "start", *role, *size, *place, *ports]
        for attempt in range(MAX_STARTS):  # a machine that is busy with other things may take more than Ray's 30 s
            try:
                self._call(node, *start)
                return
            except RuntimeError as error:
                if attempt == MAX_STARTS - 1 or "timed out during startup" not in str(error):
                    raise
                for process in node.processes():
                    with suppress(psutil.NoSuchProcess):
                        process.kill()

    def _call(self, node: Node, *arguments: object) -> None:
        started = self.popen(*arguments, node=node, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path("/"))
        printed = started.communicate()[0]
        if started.returncode != 0:
            raise RuntimeError(printed)

    def free_port(self) -> int:
        """A port that no process of the head listens on."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
            return port

    def _label(self, node: Node) -> str:
        return node.ip.rpartition(".")[2] if self.in_namespaces else node.mark
