"""Which connections are measured: cells of a matrix with ten axes, of which every pair of values occurs.

The whole product has 300,000 cells. Measured are: each combination of what decides most (both ends, the declaration,
the protocol) with all else as Istio has it by default; a few dozen cells in which every other pair of values occurs;
and as many more, drawn with a seed, as there is time for.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields, replace

AXES: dict[str, tuple[str, ...]] = {
    # The sidecar of the client: one whose outbound port is excluded takes no part in the connection.
    "client": ("none", "sidecar", "excluded"),
    # The same for the server, and its inbound port.
    "server": ("none", "sidecar", "excluded"),
    # How the Service declares its port; `well-known` is undeclared at 25, 53, 3306 or 27017.
    "declared": (
        *("http", "grpc", "tcp", "https", "tls", "redis", "mysql", "mongo"),
        *("undeclared", "well-known", "unknown"),
    ),
    "address": ("cluster-ip", "headless"),
    # The container's port: that of the Service, or another.
    "target": ("same", "other"),
    "protocol": ("client-first", "server-first", "tls", "http1", "http2"),
    # The server's PeerAuthentication; the last two are STRICT and PERMISSIVE but for its port.
    "peer": ("PERMISSIVE", "DISABLE", "STRICT", "port-DISABLE", "port-STRICT"),
    # What the DestinationRule of the Service says of TLS.
    "rule": ("none", "DISABLE", "ISTIO_MUTUAL"),
    # meshConfig.outboundTrafficPolicy
    "outbound": ("ALLOW_ANY", "REGISTRY_ONLY"),
    # A `Sidecar` object that has the port as TCP: at the server, or at the client.
    "sidecar": ("none", "ingress", "egress"),
}
CORE = ("client", "server", "declared", "protocol")
"""The axes of which every combination is measured."""
SIZE = 800
SEED = 17


@dataclass(frozen=True, order=True)
class Cell:
    """One connection; the attributes are the axes, and their defaults Istio's."""

    client: str = "sidecar"
    server: str = "sidecar"
    declared: str = "http"
    address: str = "cluster-ip"
    target: str = "same"
    protocol: str = "client-first"
    peer: str = "PERMISSIVE"
    rule: str = "none"
    outbound: str = "ALLOW_ANY"
    sidecar: str = "none"

    @property
    def possible(self) -> bool:
        """Whether there is such a cell: a `Sidecar` object configures a sidecar that is there."""
        return not (self.sidecar == "ingress" and self.server == "none") and not (
            self.sidecar == "egress" and self.client == "none"
        )

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.values())

    def values(self) -> list[tuple[str, str]]:
        """Its axes and their values."""
        return list(zip(AXES, astuple(self), strict=True))


Pair = tuple[tuple[str, str], tuple[str, str]]


def matrix(size: int = SIZE, seed: int = SEED) -> list[Cell]:
    """The cells that are measured, sorted.

    Args:
        size: How many, if those that are always there are not more.
        seed: Draws those that fill up.
    """
    chosen = dict.fromkeys(core())
    chosen |= dict.fromkeys(pairwise(pairs() - covered(chosen), random.Random(seed)))
    chosen |= dict.fromkeys(SEEN)
    drawing = random.Random(seed)
    while len(chosen) < size:
        cell = Cell(**{name: drawing.choice(values) for name, values in AXES.items()})
        if cell.possible:
            chosen[cell] = None
    return sorted(chosen)


def sample(cells: Iterable[Cell], size: int, seed: int) -> list[Cell]:
    """Some of the cells, sorted, with those of `SEEN` among them."""
    every = sorted(cells)
    drawn = random.Random(seed).sample(every, min(size, len(every)))
    return sorted({*drawn, *(cell for cell in SEEN if cell in every)})


def core() -> list[Cell]:
    """Every combination of the axes that decide most."""
    return [Cell(**dict(zip(CORE, values, strict=True))) for values in itertools.product(*(AXES[one] for one in CORE))]


def pairs() -> set[Pair]:
    """Every pair of values of two axes that a possible cell has."""
    found = set()
    for (one, ones), (other, others) in itertools.combinations(AXES.items(), 2):
        found |= {((one, value), (other, another)) for value in ones for another in others}
    return found - IMPOSSIBLE


def covered(cells: Iterable[Cell]) -> set[Pair]:
    """The pairs of values that these cells have."""
    return {pair for cell in cells for pair in itertools.combinations(cell.values(), 2)}


def pairwise(wanted: set[Pair], drawing: random.Random, *, tries: int = 60) -> Iterator[Cell]:
    """Few cells that have all of these pairs: of several drawn, each is the one that has most of those missing."""
    missing = set(wanted)
    while missing:
        target = min(missing)
        best = max(_with(target, drawing, tries), key=lambda cell: len(missing & covered([cell])))
        missing -= covered([best])
        yield best


def _with(pair: Pair, drawing: random.Random, tries: int) -> Iterator[Cell]:
    found = 0
    while found < tries:
        cell = Cell(**{name: drawing.choice(values) for name, values in AXES.items()})
        cell = replace(cell, **dict(pair))
        if cell.possible:
            found += 1
            yield cell


IMPOSSIBLE: set[Pair] = {(("server", "none"), ("sidecar", "ingress")), (("client", "none"), ("sidecar", "egress"))}
"""The pairs that no possible cell has."""


def _seen() -> tuple[Cell, ...]:
    """The connections that were looked at by hand before there was this matrix; they are in every sample."""
    redis, mysql = Cell(), Cell(protocol="server-first")
    both = [
        *(replace(redis, declared=declared) for declared in ("http", "grpc", "tcp", "redis", "https", "unknown")),
        *(replace(redis, declared=declared, peer="STRICT") for declared in ("tcp", "http")),
        *(replace(redis, declared=declared, server="excluded") for declared in ("tcp", "http")),
        replace(redis, declared="tcp", server="excluded", rule="DISABLE"),
        replace(redis, sidecar="ingress"),
        *(replace(mysql, declared=declared) for declared in ("well-known", "undeclared", "http", "tcp")),
        replace(mysql, declared="tcp", peer="port-DISABLE"),
    ]
    excluded = [
        replace(redis, declared="tcp"),
        replace(redis, declared="tcp", peer="STRICT"),
        replace(mysql, declared="tcp"),
        replace(redis, server="excluded", outbound="REGISTRY_ONLY"),
    ]
    return (
        *both,
        *(replace(cell, client="none") for cell in both),
        *(replace(cell, client="excluded") for cell in excluded),
        *(replace(redis, server=server, declared=one) for server in ("none",) for one in ("http", "tcp")),
        *(replace(redis, server=server, outbound="REGISTRY_ONLY") for server in ("sidecar", "excluded")),
    )


SEEN = _seen()
assert [field.name for field in fields(Cell)] == list(AXES)
