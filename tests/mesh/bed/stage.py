"""The pods between which scenarios play, and how a scenario looks at its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from api import Object
from bed import Bed
from callers import PATIENCE, Callers
from measuring import judged
from network import Network
from sidecar import Sidecar
from speakers import Outcome, dial, serving
from truth import Measured, Sight
from wire import Wire

HERE = "stage"
ELSEWHERE = "elsewhere"
"""Two namespaces of the mesh."""
OUTSIDE = "203.0.113.10"
OUTSIDE_NAME = "outside.example.com"
"""A host that is not a pod."""
CLIENTS = {"sidecar": Sidecar(), "none": None}


@dataclass
class Stage:
    """Where scenarios play.

    Attributes:
        bed: The mesh, with a client pod for each of `CLIENTS`, and a host outside.
        certificate: Of TLS servers, with its key.
    """

    bed: Bed
    certificate: tuple[Path, Path]
    outside: Network
    sights: list[Measured] = field(default_factory=list)
    hands: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))
    """Makes changes while clients call. What a thread has started ends with the thread (`leash.py`), so it stays."""

    @classmethod
    def set_up(cls, bed: Bed, certificate: tuple[Path, Path]) -> Stage:
        for namespace in (HERE, ELSEWHERE):
            bed.namespace(namespace)
        for name, proxy in CLIENTS.items():
            bed.pod(f"caller-{name}", HERE, proxy=proxy)
        bed.ready()
        return cls(bed, certificate, bed.host("outside", OUTSIDE))

    def look(
        self,
        scenario: str,
        step: str,
        server: Network,
        protocols: Mapping[int, str],
        *,
        address: str,
        ports: Mapping[int, int] | None = None,
        clients: Iterable[str] = CLIENTS,
    ) -> None:
        """Wait until all is in force, then have each client call each port, and keep what is seen.

        Args:
            scenario: For the record.
            step: The same.
            server: Who answers.
            protocols: What it speaks at each of its ports.
            address: Whom clients call: an address, or a Service of this namespace by its name.
            ports: The port that is called for each of the server's, where it is another.
            clients: Which of the clients call.
        """
        self.bed.in_force()
        where = self.address(address)

        async def looked() -> None:
            wire = Wire(server)
            async with serving(server, protocols, certificate=self.certificate):
                with wire.watching():
                    await asyncio.gather(*(seen(client, port) for client in clients for port in protocols))
                    for (client, port), outcome in sorted(outcomes.items()):
                        arrived = wire.seen(self.client(client).address, port)
                        sight = Sight(scenario, step, client, protocols[port])
                        self.sights.append(Measured(sight, judged(outcome, arrived)))

        async def seen(client: str, port: int) -> None:
            called = (ports or {}).get(port, port)
            outcomes[client, port] = await dial(
                self.client(client),
                where,
                called,
                protocols[port],
                host=OUTSIDE_NAME if address == OUTSIDE else address,
                authority=self.bed.plane.authority.certificate,
                seconds=PATIENCE,
            )

        outcomes: dict[tuple[str, int], Outcome] = {}
        asyncio.run(looked())

    def change(
        self,
        scenario: str,
        servers: Callable[[], Network],
        port: int,
        change: Callable[[], None],
        *,
        address: str,
        clients: Iterable[str] = CLIENTS,
    ) -> None:
        """Have clients call all the time while something changes.

        Kept is what was seen before the change and after it is in force, which has to be the same each time, and what
        becomes of a connection that was open all the while, if its server is still the same pod.

        Args:
            scenario: For the record.
            servers: Who answers now: asked again after the change.
            port: Where; the protocol is one in which the client speaks first.
            change: What changes, until it is made; then it is waited for.
            address: The Service that is called.
            clients: Who calls.
        """
        self.bed.in_force()
        networks = {client: self.client(client) for client in clients}
        place = self.address(address), port
        callers = Callers(networks, address, place, self.bed.plane.authority.certificate)
        asyncio.run(self._changed(scenario, servers, change, callers))

    async def _changed(
        self, scenario: str, servers: Callable[[], Network], change: Callable[[], None], callers: Callers
    ) -> None:
        async with AsyncExitStack() as stack:

            async def answer() -> Network:
                server = servers()
                await stack.enter_async_context(serving(server, {callers.port: "client-first"}))
                callers.wire = Wire(server)
                stack.enter_context(callers.wire.watching())
                return server

            loop = asyncio.get_running_loop()
            before = await answer()
            async with callers.calling():
                await callers.enough("before")
                callers.step = "during"
                await loop.run_in_executor(self.hands, change)
                if servers() is not before:
                    await answer()
                await loop.run_in_executor(self.hands, self.bed.in_force)
                callers.step = "after"
                await callers.enough("after")
                kept = await callers.kept() if servers() is before else {}
        for client in callers.networks:
            steps = {step: callers.always(client, step) for step in ("before", "after")}
            if client in kept:
                steps["kept open"] = kept[client]
            for step, seen in steps.items():
                self.sights.append(Measured(Sight(scenario, step, client, "client-first"), seen))

    def client(self, name: str) -> Network:
        return self.bed.pods[f"caller-{name}"].network

    def address(self, name: str) -> str:
        """An address itself; the cluster IP of a Service; the pod's address behind a headless one."""
        if name[0].isdigit():
            return name
        return self.bed.plane.api.get("Service", name, HERE)["spec"]["clusterIP"]


def service(name: str, selector: str | None, *ports: Object, namespace: str = HERE, **spec: object) -> Object:
    """A Service of a pod."""
    selected = {} if selector is None else {"selector": {"app": selector}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": list(ports), **selected, **spec},
    }


def port(number: int, declared: str, target: int | None = None) -> Object:
    """A port of a Service; declared by its name, and not at all as "undeclared"."""
    name = f"p{number}" if declared == "undeclared" else f"{declared}-{number}"
    return {"name": name, "port": number, "targetPort": target or number}
