"""A server before the cluster, from its start until it is ready."""

from __future__ import annotations

import time
from dataclasses import dataclass

from controlplane import ControlPlane
from procfs import Process
from product import PolicyServer


@dataclass(frozen=True, slots=True)
class Started:
    """A server that is ready.

    Attributes:
        server: The server.
        process: Its process.
        seconds: From its start until it was ready.
    """

    server: PolicyServer
    process: Process
    seconds: float

    def figures(self) -> dict[str, float]:
        """What it took."""
        time.sleep(1.0)
        peak, resident, cpu = self.process.peak, self.process.resident, self.process.cpu
        return {"seconds": self.seconds, "resident_mb": resident, "peak_mb": peak, "cpu_seconds": cpu}


def start(plane: ControlPlane, *options: str) -> Started:
    """Start a server and wait until it is ready."""
    server = PolicyServer(plane, options=options, ready=False)
    program = plane.programs.last(server.service)
    process = Process(program.pid)
    program.wait_until(lambda: bool(server.get("/readyz")), seconds=300, what="ready")
    return Started(server, process, process.age)
