"""Cells of the matrix as meshes for the simulator: the same objects that the measurement on real sidecars makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import placement
from api import Object
from matrix import AXES, Cell
from placement import NAMESPACE, Placement
from simulator import Answer, Call, Mesh, addresses, pod, simulate


def meshes(cells: Iterable[Cell]) -> Iterator[tuple[list[Cell], Mesh]]:
    """The cells, each list of them with the mesh whose calls are theirs."""
    placed = placement.place(cells)
    for mode in AXES["outbound"]:
        there = [cell for cell in placed.places if cell.outbound == mode]
        if there:
            yield there, _mesh(placed, mode, there)


def answers(cells: Iterable[Cell]) -> dict[Cell, Answer]:
    """What becomes of the connection of each cell."""
    asked = list(meshes(cells))
    told = simulate(mesh for _, mesh in asked)
    return {cell: one for there, mesh in asked for cell, one in zip(there, told[mesh.name], strict=True)}


def _mesh(placed: Placement, mode: str, cells: list[Cell]) -> Mesh:
    own = addresses(0)
    objects = list(placed.objects())
    services: dict[str, str] = {}
    for made in objects:
        if made["kind"] == "Service":
            made["spec"].setdefault("clusterIP", next(own))
            services[made["metadata"]["name"]] = made["spec"]["clusterIP"]
    pods = {one["metadata"]["name"]: one for one in _pods(placed, own)}

    def call(cell: Cell) -> Call:
        place = placed.places[cell]
        address = services[place.service]
        if address == "None":
            address = pods[place.server]["status"]["podIP"]
        host = f"{place.service}.{NAMESPACE}"
        return Call(f"{NAMESPACE}/{placement.client_of(cell)}", address, place.port, cell.protocol, host)

    return Mesh(mode, [*pods.values(), *objects], [call(cell) for cell in cells], outbound_policy=mode)


def _pods(placed: Placement, own: Iterable[str]) -> Iterable[Object]:
    given = iter(own)
    for name, places in placed.servers().items():
        targets = sorted({place.target for place in places})
        kind = places[0].cell.server
        excluded = targets if kind == "excluded" else []
        yield pod(name, NAMESPACE, next(given), injected=kind != "none", ports=targets, exclude_inbound=excluded)
    for name, places in placed.clients().items():
        excluded = sorted({place.port for place in places}) if "excluded" in name else []
        yield pod(name, NAMESPACE, next(given), injected=name != "client-none", exclude_outbound=excluded)
