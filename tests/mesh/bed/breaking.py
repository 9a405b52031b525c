"""Run the applications of `tests/mesh/broken` in one mesh, and make the connection of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import deployments
import network
from applications import APPLICATIONS, OUTSIDE, Application
from bed import Bed
from deployments import Pods
from measuring import judged
from network import Network
from speakers import dial, serving
from truth import Seen
from wire import Wire

PATIENCE = 6.0
"""Seconds until a connection hangs."""


@contextmanager
def running(bed: Bed) -> Iterator[Pods]:
    """Run all of them in one mesh; no two share a namespace, and what one declares no other's sidecars call."""
    with deployments.running(bed, [document for one in APPLICATIONS for document in one.documents()]) as pods:
        bed.in_force()
        yield pods


def measure(bed: Bed, pods: Pods, certificate: tuple[Path, Path], *, times: int = 1) -> list[dict[str, Seen]]:
    """Make the connection of each, all at once, again and again.

    Args:
        bed: The mesh.
        pods: The applications' pods, as `running` gives them.
        certificate: Of the TLS server, with its key.
        times: How often.

    Returns:
        For each time, what came of the connection, by the application's name.
    """
    hosts = {name: bed.host(name, address) for name, address in OUTSIDE.items()}
    try:
        return asyncio.run(_measure(bed, pods, hosts, certificate, times))
    finally:
        for host in hosts.values():
            network.delete(host)


async def _measure(
    bed: Bed, pods: Pods, hosts: dict[str, Network], certificate: tuple[Path, Path], times: int
) -> list[dict[str, Seen]]:
    servers = {one.name: pods[one.server].network if one.server else hosts[one.host] for one in APPLICATIONS}
    wires = {name: Wire(server) for name, server in servers.items()}

    async def connect(one: Application) -> Seen:
        here = pods[one.client].network
        outcome = await dial(
            here,
            _address(bed, one),
            one.port,
            one.protocol,
            host=one.host,
            authority=bed.plane.authority.certificate,
            seconds=PATIENCE,
        )
        return judged(outcome, wires[one.name].seen(here.address, one.target))

    async with AsyncExitStack() as stack:
        for one in APPLICATIONS:
            protocols = {one.target: one.protocol}
            await stack.enter_async_context(serving(servers[one.name], protocols, certificate=certificate))
            # One connection of a proxy serves many requests in HTTP: what was seen of it counts as long as it lasts.
            stack.enter_context(wires[one.name].watching())
        found = []
        for _ in range(times):
            seen = await asyncio.gather(*(connect(one) for one in APPLICATIONS))
            found.append({one.name: what for one, what in zip(APPLICATIONS, seen, strict=True)})
        return found


def _address(bed: Bed, one: Application) -> str:
    if not one.server:
        return OUTSIDE[one.host]
    service, _, namespace = one.host.partition(".")
    return bed.plane.api.get("Service", service, namespace)["spec"]["clusterIP"]
