"""Port-forwards to the bed's pods, which istioctl needs to read a sidecar's configuration.

Run as a program, it builds what it takes.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import toolbox
from api import MERGE
from bed import NODE, Bed
from mesh_sandbox import GATEWAY
from processes import Program

MODULE = Path(__file__).parents[1] / "portforward"
PORT = 10250
"""A kubelet's."""


def build() -> Path:
    """The program, which has to be built outside of the sandbox the first time."""
    return toolbox.build(("portforward",), MODULE) / "portforward"


@contextmanager
def serving(bed: Bed) -> Iterator[None]:
    """Answer at the address of the node's kubelet while the context lasts, for port-forwards alone."""
    program: Program = bed.plane.programs.start(
        "portforward", [build(), f"{GATEWAY}:{PORT}", *bed.plane.authority.server("kubelet", addresses=(GATEWAY,))]
    )
    status = {
        "addresses": [{"type": "InternalIP", "address": GATEWAY}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
    }
    bed.plane.api.request("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, content_type=MERGE)
    try:
        program.wait_until(_listens, seconds=20, what="listening")
        yield
    finally:
        program.stop(grace=0)


def _listens() -> bool:
    with suppress(OSError), socket.create_connection((GATEWAY, PORT), timeout=1):
        return True
    return False


if __name__ == "__main__":
    build()
