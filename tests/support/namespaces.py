"""Machines made of Linux namespaces: processes, network and mounts of their own, one kernel.

A box is a process tree under one `init`. The kernel kills the whole tree when its init dies, and init ends when the
pipe to the test closes, so that nothing is left behind, even by a test run that is killed.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

_INIT: Final = """
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries orphans
print("up", flush=True)
sys.stdin.read()
"""
_UNSHARE: Final = ["unshare", "--net", "--pid", "--mount-proc", "--fork"]
_AS_ROOT: Final = ["--user", "--map-root-user"]
"""For those who are not root: the box has its own root."""
_SUBNET: Final = "10.77.0"
"""The same in every network, for no two networks meet."""


class Box:
    """A machine without a network; its processes see nobody else's.

    Args:
        inside: the box that holds it and takes it along when it ends.
    """

    ip: str

    def __init__(self, inside: Box | None = None) -> None:
        command = [*_UNSHARE, *(_AS_ROOT if inside is None and os.geteuid() != 0 else [])]
        command += [sys.executable, "-c", _INIT]
        pipe = subprocess.PIPE
        self._started = subprocess.Popen(
            command if inside is None else inside.command(command), stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert self._started.stdout is not None
        if self._started.stdout.readline() != b"up\n":
            raise RuntimeError(self._started.communicate()[1].decode().strip())
        self._init = _innermost(psutil.Process(self._started.pid))

    def command(self, arguments: Sequence[str], folder: Path | None = None) -> list[str]:
        """The command that runs `arguments` in the box, in a folder (by default this process's)."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", str(self._init.pid), *user, "--net", "--pid", "--mount"]
        return [*enter, "env", f"--chdir={folder or Path.cwd()}", *arguments]

    def run(self, *arguments: str) -> None:
        """Run a command in the box."""
        done = subprocess.run(self.command(arguments), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")

    def processes(self) -> list[psutil.Process]:
        """Processes in the box, those that were started from outside included."""
        space = _pid_space(self._init)
        return [p for p in psutil.process_iter() if p != self._init and _pid_space(p) == space]

    def pid_outside(self) -> int:
        """Process id of the box's init, as the box around it counts."""
        status = Path(f"/proc/{self._init.pid}/status").read_text()
        return next(int(line.split()[-2]) for line in status.splitlines() if line.startswith("NSpid:"))

    def num_bytes_sent(self) -> int:
        """Bytes that the box has put on the network."""
        lines = Path(f"/proc/{self._init.pid}/net/dev").read_text().splitlines()
        return next(int(line.split()[9]) for line in lines if line.split()[0] == "eth0:")

    def kill(self) -> None:
        """End all processes in the box at once (SIGKILL) and wait until they are gone."""
        inside = self.processes()
        with suppress(psutil.NoSuchProcess):
            self._init.kill()
        psutil.wait_procs([self._init, *inside], timeout=30)
        self._started.communicate()


class Network:
    """A bridge in a box of its own, and machines that are plugged into it."""

    def __init__(self) -> None:
        self._switch = Box()
        self._num_plugged = 0
        self._ports: dict[Box, str] = {}
        try:
            self._switch.run("ip", "link", "add", "bridge", "type", "bridge")
            self._switch.run("ip", "link", "set", "bridge", "up")
        except RuntimeError:
            self.close()
            raise

    def add(self) -> Box:
        """Plug in a machine."""
        box = Box(inside=self._switch)
        self._num_plugged += 1
        port, box.ip = f"port{self._num_plugged}", f"{_SUBNET}.{self._num_plugged}"
        there = str(box.pid_outside())
        self._switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", there)
        self._switch.run("ip", "link", "set", port, "master", "bridge", "up")
        box.run("ip", "link", "set", "lo", "up")
        box.run("ip", "addr", "add", f"{box.ip}/24", "dev", "eth0")
        box.run("ip", "link", "set", "eth0", "up")
        box.run("ip", "route", "add", "default", "dev", "eth0")  # programs find out their own address through it
        self._ports[box] = port
        return box

    def lose(self, box: Box) -> None:
        """Lose a machine: the others hear nothing more of it, not even that its connections are closed."""
        self._switch.run("ip", "link", "del", self._ports.pop(box))
        box.kill()

    def close(self) -> None:
        """End all machines."""
        for box in [*self._ports, self._switch]:
            box.kill()


@functools.cache
def why_not() -> str | None:
    """Why there can be no network of boxes here; None where there can."""
    if missing := [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]:
        return f"{', '.join(missing)} not found (util-linux, iproute2)"
    try:
        network = Network()
    except (RuntimeError, OSError) as error:
        return f"needs root or unprivileged user namespaces: {error}"
    try:
        network.add()
    except (RuntimeError, OSError) as error:
        return f"no virtual Ethernet: {error}"
    finally:
        network.close()
    return None


def _innermost(process: psutil.Process) -> psutil.Process:
    while children := process.children():
        (process,) = children
    return process


def _pid_space(process: psutil.Process) -> str | None:
    try:
        return str(Path(f"/proc/{process.pid}/ns/pid").readlink())
    except OSError:  # it is gone, or somebody else's
        return None
