"""The servers that are measured, as processes on loopback with one certificate, and what they cost."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from processes import Program, Programs, free_ports
from procfs import Process
from product import COMMAND
from reviews import ESHOP

from certs import files
from certs.issue import issue_authority, issue_serving

CONSTANT = Path(__file__).with_name("constant.py")
PEERS = ("typed", "lean", "floor")


class Certificate(NamedTuple):
    """The files of a serving certificate, its key, and the authority to trust."""

    certificate: Path
    key: Path
    authority: Path


class Server(NamedTuple):
    """A server that runs: its port and its process."""

    port: int
    program: Program

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/mutate"

    def cpu(self) -> float:
        """Microseconds of CPU that it has spent, all threads together."""
        return Process(self.program.pid).cpu * 1e6

    def rss(self) -> float:
        """Megabytes of memory that it holds."""
        return Process(self.program.pid).resident


def certificate(directory: Path, *names: str) -> Certificate:
    """Issue a certificate for localhost and these names: P-256, as the product issues its own."""
    now = datetime.now(UTC)
    authority = issue_authority(now=now)
    serving = issue_serving(authority, ["localhost", *names], now=now)
    directory.mkdir()
    files.write(directory, authority.certificate, serving)
    return Certificate(directory / files.CERTIFICATE, directory / files.KEY, directory / files.AUTHORITY)


def start_peer(programs: Programs, binary: Path, pair: Certificate) -> Server:
    """Start a peer and wait until it takes connections."""
    (port,) = free_ports(1)
    options = [f"-listen=127.0.0.1:{port}", f"-cert={pair.certificate}", f"-key={pair.key}"]
    return _started(port, programs.start(binary.name, [binary, *options]))


def start_constant(programs: Programs, pair: Certificate) -> Server:
    """Start the floor in Python and wait until it takes connections."""
    (port,) = free_ports(1)
    command: list[str | Path] = [sys.executable, "-P", CONSTANT, str(port), pair.certificate, pair.key]
    return _started(port, programs.start("constant", command))


def start_ours(
    programs: Programs, name: str, pair: Certificate, policy: Path, command: Sequence[str | Path] = (COMMAND,)
) -> Server:
    """Start `sidecar-policy serve` on eShop's manifests, and wait until it is ready.

    Args:
        programs: It is one of them.
        name: What it is called there; its decision log is JSON in the log of this name.
        pair: What it serves with.
        policy: The file of its policy.
        command: How the command line is started.
    """
    port, health_port = free_ports(2)
    options: list[str | Path] = [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--health-port",
        str(health_port),
        "--drain",
        "0",
    ]
    options += ["--cert", pair.certificate, "--key", pair.key, "--manifests", ESHOP, "--policy", policy]
    program = programs.start(name, [*command, "serve", *options, "--log-format", "json"])
    program.wait_until(lambda: _answers(f"http://127.0.0.1:{health_port}/readyz"), seconds=30, what="ready")
    return Server(port, program)


def _started(port: int, program: Program) -> Server:
    program.wait_until(lambda: _listens(port), seconds=10, what="listening")
    return Server(port, program)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
