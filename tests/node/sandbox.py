"""Run a command where a node can be, and leave nothing of it.

Usage: sandbox.py [COMMAND…]

Without a command it only says whether this machine can host a node.

The command gets its own network, mounts and processes: network interfaces, iptables rules, mounts, and processes that
daemons left on their own are gone when it is, however it ends. What has no namespace (cgroups, some kernel settings,
files) is put back by the process outside. Inside, the command finds the directory for its files in SANDBOX_DIRECTORY,
and in SANDBOX_CGROUP the cgroup below which its containers belong.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import packages

LEASH = Path(__file__).resolve().parents[1] / "e2e" / "leash.py"
PREFIX = "sidecar-policy-node-"
NODE_ADDRESS = "10.88.0.1"
SETTINGS = tuple(
    Path("/proc/sys", name)
    for name in (
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "kernel/keys/root_maxbytes",
        "kernel/keys/root_maxkeys",
    )
)
"""What a kubelet sets for the whole machine."""
NAMESPACES = ("--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")


def main() -> int:
    """Outside: prepare, run what is inside, and clean up."""
    if missing := packages.missing_for_node():
        print(f"error: this machine can host no node: {missing}", file=sys.stderr)
        return 1
    if not sys.argv[1:]:
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    inside = [sys.executable, __file__, "--inside", *sys.argv[1:]]
    environment = os.environ | {"SANDBOX_DIRECTORY": str(directory), "SANDBOX_CGROUP": directory.name}
    code = 1
    # Killed with us, and in a process group of its own: what ends us at a terminal is passed on once, and not twice.
    leashed = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), shutil.which("unshare") or "", *NAMESPACES]
    with (
        _settings_kept(),
        _cgroups(directory.name),
        subprocess.Popen([*leashed, *inside], env=environment, process_group=0) as running,
    ):
        try:
            code = running.wait()
        except KeyboardInterrupt:
            os.killpg(running.pid, signal.SIGINT)
            # The command ends in good order; a second interrupt kills it.
            with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                running.wait(60)
            running.kill()
            code = 130
    logs = directory / "kept"
    if code and logs.exists():
        print(f"logs are kept in {logs}", file=sys.stderr)
        _remove_but(directory, logs)
    else:
        shutil.rmtree(directory)
    return code


def inside() -> int:
    """Inside, as the first process: make a network, run the command, and reap whatever is left on its own."""
    directory = Path(os.environ["SANDBOX_DIRECTORY"])
    _mounts(directory)
    _network()
    command = subprocess.Popen(sys.argv[2:])
    # The command is in this process group as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == command.pid:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _mounts(directory: Path) -> None:
    """What daemons write below /run and /var goes into the directory."""
    _run("mount", "--make-rshared", "/")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    upper, work = directory / "var", directory / "var.work"
    upper.mkdir()
    work.mkdir()
    _run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/var,upperdir={upper},workdir={work}", "/var")


def _network() -> None:
    """The node's address is that of an interface which leads nowhere."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "nowhere")
    _run("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", "node0")
    for interface in ("nowhere", "node0"):
        _run("ip", "link", "set", interface, "up")
    _run("ip", "route", "add", "default", "dev", "node0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    before = {path: path.read_text() for path in SETTINGS if path.exists()}
    try:
        yield
    finally:
        for path, value in before.items():
            path.write_text(value)


@contextlib.contextmanager
def _cgroups(name: str) -> Iterator[None]:
    """A cgroup of this name in each hierarchy; what a killed run left is removed as well."""
    for left in {group.name for hierarchy in packages.hierarchies() for group in hierarchy.glob(f"{PREFIX}*")}:
        with contextlib.suppress(OSError):  # another run's, which goes on
            for hierarchy in packages.hierarchies():
                _remove_cgroup(hierarchy / left)
            shutil.rmtree(Path(tempfile.gettempdir(), left), ignore_errors=True)
    for hierarchy in packages.hierarchies():
        group = hierarchy / name
        group.mkdir()
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())
    try:
        yield
    finally:
        for hierarchy in packages.hierarchies():
            _remove_cgroup(hierarchy / name, seconds=10)


def _remove_cgroup(group: Path, *, seconds: float = 0) -> None:
    """Remove it and all below. The kernel needs a moment to let go of processes that have just ended."""
    deadline = time.monotonic() + seconds
    for one in [*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group]:
        while True:
            try:
                one.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def _remove_but(directory: Path, kept: Path) -> None:
    for one in directory.iterdir():
        if one != kept:
            shutil.rmtree(one) if one.is_dir() else one.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(inside() if sys.argv[1:2] == ["--inside"] else main())
