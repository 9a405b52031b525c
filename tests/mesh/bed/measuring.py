"""Measure cells of the matrix: make their pods and objects, call each Service, and see what arrives at its server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import placement
from bed import Bed
from matrix import AXES, Cell
from placement import NAMESPACE, Place, Placement
from sidecar import Sidecar
from speakers import BLACK_HOLE, HANGS, RESET, UNREACHABLE, Outcome, dial, serving
from truth import Measured, Seen
from wire import NOTHING, Wire

AT_ONCE = 48
"""Connections that are under way together; most of the time goes by in waiting for those that hang."""
PATIENCE = (4.0, 4.0, 12.0)
"""Seconds until a connection hangs: of the two measurements, and of the third of what hung or differed."""


def measure(bed: Bed, cells: Iterable[Cell], certificate: tuple[Path, Path]) -> list[Measured]:
    """Measure cells twice; and once more, with more patience, those that hang or differ.

    Args:
        bed: A mesh that has none of the matrix's pods.
        cells: What to measure.
        certificate: Of the TLS servers, with its key.
    """
    placed = placement.place(cells)
    _make(bed, placed)
    return asyncio.run(_measure(bed, placed, certificate))


def _make(bed: Bed, placed: Placement) -> None:
    bed.namespace(NAMESPACE)
    bed.apply(*placed.objects())
    for name, places in placed.servers().items():
        server, targets = places[0].cell.server, tuple(place.target for place in places)
        excluded = targets if server == "excluded" else ()
        bed.pod(name, NAMESPACE, proxy=None if server == "none" else Sidecar(exclude_inbound=excluded))
    for name, places in placed.clients().items():
        excluded = tuple(sorted({place.port for place in places})) if "excluded" in name else ()
        bed.pod(name, NAMESPACE, proxy=None if name == "client-none" else Sidecar(exclude_outbound=excluded))
    bed.ready()


async def _measure(bed: Bed, placed: Placement, certificate: tuple[Path, Path]) -> list[Measured]:
    found = []
    # One connection of a proxy serves many requests in HTTP: what was seen of it counts as long as it may be there.
    async with _serving(bed, placed, certificate), _watching(bed, placed) as wires:
        for mode in AXES["outbound"]:
            if now := [cell for cell in placed.places if cell.outbound == mode]:
                await asyncio.to_thread(bed.outbound_policy, mode)
                await asyncio.to_thread(bed.in_force)
                found += await _ask(bed, placed, now, wires)
    return found


async def _ask(bed: Bed, placed: Placement, cells: list[Cell], wires: dict[str, Wire]) -> list[Measured]:
    services = {one["metadata"]["name"]: one["spec"]["clusterIP"] for one in bed.plane.api.list("Service", NAMESPACE)}
    every: dict[Cell, list[Seen]] = {cell: [] for cell in cells}
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(cell: Cell, seconds: float) -> None:
        place = placed.places[cell]
        address = services[place.service]
        if address == "None":
            address = bed.pods[place.server].address
        here = bed.pods[placement.client_of(cell)].network
        name, authority = f"{place.service}.{NAMESPACE}", bed.plane.authority.certificate
        async with limit:
            outcome = await dial(
                here, address, place.port, cell.protocol, host=name, authority=authority, seconds=seconds
            )
        every[cell].append(judged(outcome, _arrived(wires[place.server], here.address, place)))

    for number, seconds in enumerate(PATIENCE):
        wanted = [cell for cell, seen in every.items() if number < 2 or _doubtful(seen)]
        random.Random(number).shuffle(wanted)
        await asyncio.gather(*(ask(cell, seconds) for cell in wanted))
    return [_together(cell, seen) for cell, seen in every.items()]


def _arrived(wire: Wire, client: str, place: Place) -> str:
    arrived = wire.seen(client, place.target)
    # A headless Service's client, without a sidecar, calls the Service's port.
    return arrived if arrived != NOTHING else wire.seen(client, place.port)


def judged(outcome: Outcome, arrived: str) -> Seen:
    """What came of a connection, from what its client saw and what arrived at the server's pod."""
    lost = arrived == NOTHING and outcome.result == RESET
    return Seen(BLACK_HOLE if lost else outcome.result, arrived, outcome.detail)


def _doubtful(seen: list[Seen]) -> bool:
    return len(set(seen)) > 1 or seen[0].result in {HANGS, UNREACHABLE}


def _together(cell: Cell, seen: list[Seen]) -> Measured:
    return Measured(cell, seen[-1], tuple(seen) if len(set(seen)) > 1 else ())


@asynccontextmanager
async def _serving(bed: Bed, placed: Placement, certificate: tuple[Path, Path]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for name, places in placed.servers().items():
            protocols = {place.target: place.cell.protocol for place in places}
            await stack.enter_async_context(serving(bed.pods[name].network, protocols, certificate=certificate))
        yield


@asynccontextmanager
async def _watching(bed: Bed, placed: Placement) -> AsyncIterator[dict[str, Wire]]:
    async with AsyncExitStack() as stack:
        wires = {name: Wire(bed.pods[name].network) for name in placed.servers()}
        for wire in wires.values():
            stack.enter_context(wire.watching())
        yield wires
