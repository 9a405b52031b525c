"""What theory says of requests to replicas: how busy each is, and how long requests wait.

Each replica works off its requests one after the other, each in the same time. Which replica a request goes to is the
client's choice, and Go's HTTP client, which API servers use, prefers the connection that it used last.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of requests.

    Attributes:
        seconds: For each request, how long it waited and was served.
        servers: For each request, which server it went to.
    """

    seconds: tuple[float, ...]
    servers: tuple[int, ...]


def replay(arrivals: Sequence[float], service: float, servers: int, *, most_idle: int = 25) -> Replayed:
    """Send requests to servers, in thought.

    Args:
        arrivals: When they come, in order.
        service: Seconds that one takes.
        servers: How many there are. A new connection goes to the next one in turn.
        most_idle: How many connections stay open without work.

    Returns:
        What became of each.
    """
    free = [0.0] * servers
    idle: list[int] = []
    busy: list[tuple[float, int, int]] = []
    opened = 0
    seconds, chosen = [], []
    for number, at in enumerate(arrivals):
        while busy and busy[0][0] <= at:
            _, _, server = heapq.heappop(busy)
            if len(idle) < most_idle:
                idle.append(server)
        if idle:
            server = idle.pop()
        else:
            server, opened = opened % servers, opened + 1
        free[server] = max(free[server], at) + service
        heapq.heappush(busy, (free[server], number, server))
        seconds.append(free[server] - at)
        chosen.append(server)
    return Replayed(tuple(seconds), tuple(chosen))


def utilisation(rate: float, service: float, servers: int) -> float:
    """How busy each server is, if requests were spread evenly: 1 is all the time."""
    return rate * service / servers
