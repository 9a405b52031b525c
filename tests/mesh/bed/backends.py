"""Real servers, as Debian packages them, in a pod of the mesh; and a responder for the one that cannot be had.

They run as `nobody`, whose traffic a sidecar intercepts, below the sandbox's /run. SQL Server is not packaged: `tds.py`
speaks its protocol as far as the refusal of a login, which takes both messages of its handshake.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import debian
from bed import Pod
from processes import Program

NOBODY = 65534
PLACE = Path("/run/backends")
READY_WITHIN = 240.0
"""Seconds; RabbitMQ takes ten of them on a quiet machine, and many times that on a busy one."""
TDS = Path(__file__).with_name("tds.py")


@dataclass(frozen=True)
class Backend:
    """A server.

    Attributes:
        port: Its well-known port, where it listens.
        package: The Debian package that has it; none for the responder.
        program: What the package installs.
        start: Start it in a pod, in an empty directory of its own.
    """

    port: int
    package: str
    program: str
    start: Callable[[Pod, Path], Program]

    def version(self) -> str:
        """Of the installed program; the responder has none."""
        return debian.version(self.program) if self.package else ""


def start(pod: Pod) -> list[Program]:
    """Start all of them in one pod, side by side, and wait until each listens.

    Raises:
        ProgramError: One ended, or does not listen in time.
    """
    running = {}
    for name, backend in BACKENDS.items():
        home = PLACE / pod.network.name / name
        home.mkdir(parents=True)
        os.chown(home, NOBODY, NOBODY)
        running[name] = backend.start(pod, home)
    for name, program in running.items():
        port = BACKENDS[name].port
        program.wait_until(lambda at=port: _listens(pod, at), seconds=READY_WITHIN, what=f"listening at {port}")
    return list(running.values())


def _listens(pod: Pod, port: int) -> bool:
    """Whether something accepts connections at the pod's own loopback address, which no sidecar intercepts."""
    with pod.network.entered(), socket.socket() as called:
        called.settimeout(1)
        return called.connect_ex(("127.0.0.1", port)) == 0


def _run(pod: Pod, home: Path, *command: str, **environment: str) -> Program:
    return pod.run(home.name, [*_as_nobody(home, environment), debian.path(command[0]), *command[1:]], directory=home)


def _as_nobody(home: Path, environment: dict[str, str]) -> list[str]:
    entries = [f"{name}={value}" for name, value in ({"HOME": str(home)} | environment).items()]
    drop = [shutil.which("setpriv") or "", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [*drop, "--pdeathsig", "keep", "/usr/bin/env", *entries]


def _prepare(home: Path, *command: str) -> None:
    full = [*_as_nobody(home, {}), debian.path(command[0]), *command[1:]]
    done = subprocess.run(full, check=False, capture_output=True, text=True, cwd=home, timeout=READY_WITHIN)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()[-1000:]}")


def _redis(pod: Pod, home: Path) -> Program:
    return _run(pod, home, "redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "")


def _memcached(pod: Pod, home: Path) -> Program:
    return _run(pod, home, "memcached", "-l", "0.0.0.0", "-m", "16", "-t", "1")


def _nats(pod: Pod, home: Path) -> Program:
    return _run(pod, home, "nats-server", "--addr", "0.0.0.0")


def _postgresql(pod: Pod, home: Path) -> Program:
    data = str(home / "data")
    _prepare(home, "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync")
    with (home / "data/pg_hba.conf").open("a") as access:
        access.write("host all all all trust\n")
    return _run(pod, home, "postgres", "-D", data, "-k", str(home), "-c", "listen_addresses=0.0.0.0", "-c", "fsync=off")


def _mariadb(pod: Pod, home: Path) -> Program:
    # Without grant tables everyone may log in; it would then not listen, unless told.
    options = [
        "--no-defaults",
        f"--datadir={home / 'data'}",
        f"--socket={home / 'socket'}",
        f"--pid-file={home / 'pid'}",
    ]
    _prepare(home, "mariadb-install-db", *options[:2], "--auth-root-authentication-method=normal", "--skip-test-db")
    return _run(
        pod,
        home,
        "mariadbd",
        *options,
        *("--bind-address=0.0.0.0", "--skip-grant-tables", "--skip-networking=0", "--skip-name-resolve"),
    )


def _rabbitmq(pod: Pod, home: Path) -> Program:
    settings = "listeners.tcp.default = 0.0.0.0:5672\nloopback_users = none\ndisk_free_limit.absolute = 1MB\n"
    (home / "rabbitmq.conf").write_text(settings)
    (home / "plugins").write_text("[].\n")
    # Its broker looks for this daemon at a fixed port, and would start one that outlives it.
    _run(pod, home, "epmd")
    return _run(
        pod,
        home,
        "rabbitmq-server",
        RABBITMQ_NODENAME="rabbit@localhost",
        RABBITMQ_CONFIG_FILE=str(home / "rabbitmq.conf"),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(home / "plugins"),
        RABBITMQ_MNESIA_BASE=str(home),
        RABBITMQ_LOG_BASE=str(home),
        RABBITMQ_PID_FILE=str(home / "pid"),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none",
    )


def _sqlserver(pod: Pod, home: Path) -> Program:
    # As root: nobody need not reach the interpreter.
    return pod.run(home.name, [sys.executable, "-I", str(TDS), str(BACKENDS["sqlserver"].port)], directory=home)


BACKENDS = {
    "memcached": Backend(11211, "memcached", "memcached", _memcached),
    "mysql": Backend(3306, "mariadb-server", "mariadbd", _mariadb),
    "nats": Backend(4222, "nats-server", "nats-server", _nats),
    "postgresql": Backend(5432, "postgresql", "postgres", _postgresql),
    "rabbitmq": Backend(5672, "rabbitmq-server", "rabbitmq-server", _rabbitmq),
    "redis": Backend(6379, "redis-server", "redis-server", _redis),
    "sqlserver": Backend(1433, "", "", _sqlserver),
}
"""By the name of the Service."""
