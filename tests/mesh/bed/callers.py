"""Clients that call a Service again and again while something changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from measuring import judged
from network import Network
from speakers import WORKS, Held, dial
from truth import Seen
from wire import NOTHING, Wire

PATIENCE = 6.0
"""Seconds until a connection hangs."""
CALLS = 4
"""Of each client, in each step."""
PAUSE = 0.1
"""Seconds between two calls of a client."""


class Callers:
    """What each client has seen, by the step in which it was; the client speaks first.

    Attributes:
        networks: The clients' networks, by their names.
        port: The port that they call.
        step: What is so now; what is seen of a connection counts if it did not change meanwhile.
        wire: Watches the server.
    """

    wire: Wire

    def __init__(self, networks: Mapping[str, Network], host: str, place: tuple[str, int], authority: Path) -> None:
        self.networks = networks
        self.port = place[1]
        self.step = "before"
        self._host = host
        self._place = place
        self._authority = authority
        self._seen: dict[tuple[str, str], list[Seen]] = {}
        self._held: dict[str, Held] = {}

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Call while the context lasts; each client also opens a connection that it keeps, if it gets one."""
        for client, network in self.networks.items():
            held = Held(network, *self._place)
            if (await held.ask(PATIENCE)).result == WORKS:
                self._held[client] = held
            else:
                await held.close()
        tasks = [asyncio.create_task(self._call(client)) for client in self.networks]
        try:
            yield
        finally:
            self.step = "end"
            await asyncio.gather(*tasks)
            for held in self._held.values():
                await held.close()

    async def enough(self, step: str) -> None:
        """Wait until each client has called often enough in a step."""
        async with asyncio.timeout(10 * PATIENCE):
            while any(len(self._seen.get((client, step), ())) < CALLS for client in self.networks):
                await asyncio.sleep(PAUSE)

    def always(self, client: str, step: str) -> Seen:
        """What a client saw in a step.

        Raises:
            AssertionError: It was not the same each time.
        """
        found = sorted(set(self._seen[client, step]))
        assert len(found) == 1, f"{self._host}, {step}, {client}: {found}"
        return found[0]

    async def kept(self) -> dict[str, Seen]:
        """What becomes of the connections that are open since before."""
        asked = {client: await held.ask(PATIENCE) for client, held in self._held.items()}
        return {client: Seen(outcome.result, NOTHING, outcome.detail) for client, outcome in asked.items()}

    async def _call(self, client: str) -> None:
        network = self.networks[client]
        while (step := self.step) != "end":
            outcome = await dial(
                network, *self._place, "client-first", host=self._host, authority=self._authority, seconds=PATIENCE
            )
            if step == self.step:
                seen = judged(outcome, self.wire.seen(network.address, self.port))
                self._seen.setdefault((client, step), []).append(seen)
            await asyncio.sleep(PAUSE)
