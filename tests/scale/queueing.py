"""What theory says of requests to replicas: how busy each is, and how long requests wait.

Each replica works off what comes to it one after the other: requests, and the handshakes of new connections. It takes
longer to begin than to go on. Which replica a request goes to is the client's choice. Go's HTTP client, which API
servers use, takes the connection that it used last; without one it opens another, and the request goes over whichever
is free first. The client has but one thread here, as that of the simulation has.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count

MOST_IDLE = 25
"""Connections that an API server keeps without work."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds in which a replica, or the client, does nothing else.

    Attributes:
        known: Of a replica, for the review of a pod that is the same as one before it.
        new: For that of any other pod.
        connection: For the handshake of a new connection.
        waking: For what comes while there is nothing else to do, besides.
        sending: Of the client, for each request.
        opening: For each connection.
    """

    known: float
    new: float
    connection: float = 0.0
    waking: float = 0.0
    sending: float = 0.0
    opening: float = 0.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of requests.

    Attributes:
        seconds: For each request, from when it is sent to its answer; while the client is busy it is sent later than it
            arrives.
        servers: For each request, which server it went to.
        busy: For each server, how many seconds it worked.
        new: How many requests were about a pod that their server had not seen.
        opened: How many connections were opened.
    """

    seconds: tuple[float, ...]
    servers: tuple[int, ...]
    busy: tuple[float, ...]
    new: int
    opened: int


def replay(
    arrivals: Sequence[tuple[float, Hashable]],
    costs: Costs,
    servers: int,
    *,
    known: Iterable[Hashable] = (),
    most_idle: int = MOST_IDLE,
) -> Replayed:
    """Send requests to servers, in thought.

    Args:
        arrivals: When they come, in order, and about which pod; pods of one name are the same.
        costs: What each takes.
        servers: How many there are. A new connection goes to the next one in turn.
        known: Pods that all servers have seen before.
        most_idle: How many connections stay open without work.

    Returns:
        What became of each.
    """
    thought = _Thought(arrivals, costs, [set(known) for _ in range(servers)], most_idle)
    thought.run()
    return Replayed(tuple(thought.seconds), tuple(thought.chosen), tuple(thought.busy), thought.new, thought.opened)


class _Event(Enum):
    """What happens to a connection: the client has begun the handshake; it is over; a request is answered."""

    CONNECTED = auto()
    OPENED = auto()
    ANSWERED = auto()


class _Thought:
    def __init__(
        self, arrivals: Sequence[tuple[float, Hashable]], costs: Costs, seen: list[set[Hashable]], most_idle: int
    ) -> None:
        self.seconds = [0.0] * len(arrivals)
        self._sent = [0.0] * len(arrivals)
        self.chosen = [0] * len(arrivals)
        self.busy = [0.0] * len(seen)
        self.new = self.opened = 0
        self._arrivals, self._costs, self._seen, self._most_idle = arrivals, costs, seen, most_idle
        self._free = [0.0] * len(seen)
        self._idle: list[int] = []
        self._waiting: deque[int] = deque()
        self._events: list[tuple[float, int, _Event, int, int]] = []
        self._order = count()

    def run(self) -> None:
        client = 0.0
        for number, (due, _) in enumerate(self._arrivals):
            self._sent[number] = at = max(due, client)
            client = at + self._costs.sending
            self._until(at)
            if self._idle:
                self._send(number, self._idle.pop(), at)
            else:
                self._waiting.append(number)
                client += self._costs.opening
                server, self.opened = self.opened % len(self._seen), self.opened + 1
                self._expect(client, _Event.CONNECTED, server)
        self._until(float("inf"))

    def _until(self, now: float) -> None:
        """Let happen what happens by now."""
        while self._events and self._events[0][0] <= now:
            at, _, event, server, number = heapq.heappop(self._events)
            if event is _Event.CONNECTED:
                self._work(server, at, self._costs.connection, _Event.OPENED)
                continue
            if event is _Event.ANSWERED:
                self.seconds[number] = at - self._sent[number]
            if self._waiting:
                self._send(self._waiting.popleft(), server, at)
            elif len(self._idle) < self._most_idle:
                self._idle.append(server)

    def _send(self, number: int, server: int, at: float) -> None:
        self.chosen[number] = server
        pod = self._arrivals[number][1]
        new = pod not in self._seen[server]
        self._seen[server].add(pod)
        self.new += new
        self._work(server, at, self._costs.new if new else self._costs.known, _Event.ANSWERED, number)

    def _work(self, server: int, at: float, seconds: float, done: _Event, number: int = 0) -> None:
        if self._free[server] < at:
            self._free[server] = at
            seconds += self._costs.waking
        self.busy[server] += seconds
        self._free[server] += seconds
        self._expect(self._free[server], done, server, number)

    def _expect(self, at: float, event: _Event, server: int, number: int = 0) -> None:
        heapq.heappush(self._events, (at, next(self._order), event, server, number))
