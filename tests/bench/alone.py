"""The server alone: who answers an AdmissionReview on loopback, how fast, and at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import policies
import reviews
from figures import Cell
from goals import CONNECTIONS, GROWTH, LARGE_CONNECTIONS, OPEN, alone
from load import Load, Target, send
from processes import Programs
from servers import PEERS, Certificate, Server, certificate, start_ours, start_peer

PATCHED = '"patchType":"JSONPatch"'
DETECTED = '"dependencies":"rabbitmq,redis"'
"""Ours has done all of its work when it says this."""
OPEN_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class _Arm:
    name: str
    server: Server
    bodies: Path
    expect: str


@contextmanager
def running(tools: Path, directory: Path, seconds: float) -> Iterator[list[Cell]]:
    """Start all servers; they wait for their turns, and end with the context.

    Args:
        tools: The directory of the peers and of the load generator.
        directory: Where everything goes; it is empty.
        seconds: How long one measurement lasts.

    Yields:
        What to measure.
    """
    pair = certificate(directory / "certs")
    # Made before anything runs: the large ones take a moment.
    bodies = _bodies(directory)
    with Programs(directory) as programs:
        servers = {name: start_peer(programs, tools / name, pair) for name in PEERS}
        for count in (10, 1000):
            policy = policies.write(directory / f"{count}-rules.yaml", count)
            manifests = ["--manifests", reviews.ESHOP, "--policy", policy]
            servers[f"{count} rules"] = start_ours(programs, f"sidecar-policy-{count}-rules", pair, manifests)
        yield list(_cells(tools / "load", pair, servers, bodies, seconds))


def _bodies(directory: Path) -> dict[str, Path]:
    pods = {
        "small": reviews.pod(reviews.SMALL, fresh=True),
        "small, replicas": reviews.pod(reviews.SMALL, fresh=False),
        "large": reviews.pod(reviews.LARGE, fresh=True),
        "large, replicas": reviews.pod(reviews.LARGE, fresh=False),
        **{str(values): reviews.pod(values, fresh=True) for values in (10, 100, 1000, 2000)},
    }
    files = {}
    for name, pod in pods.items():
        files[name] = directory / f"{name}.json"
        files[name].write_text(reviews.line(reviews.review(pod)))
    return files


def _cells(
    program: Path, pair: Certificate, servers: Mapping[str, Server], bodies: Mapping[str, Path], seconds: float
) -> Iterator[Cell]:
    def cells(scenario: str, load: Load, arms: Sequence[_Arm]) -> Iterator[Cell]:
        for arm in arms:
            target = Target(arm.server.url, pair.authority, arm.bodies, arm.expect)
            yield Cell(scenario, arm.name, _measuring(program, target, load, arm.server))

    for size, many in (("small", CONNECTIONS), ("large", LARGE_CONNECTIONS)):
        arms = [
            _Arm("go typed", servers["typed"], bodies[size], PATCHED),
            _Arm("go lean", servers["lean"], bodies[size], PATCHED),
            _Arm("floor", servers["floor"], bodies[size], ""),
            _Arm("ours, new pods", servers["10 rules"], bodies[size], DETECTED),
            _Arm("ours, replicas", servers["10 rules"], bodies[f"{size}, replicas"], DETECTED),
        ]
        for connections in many:
            yield from cells(alone(size, connections), Load(connections, seconds), arms)
        if size == "small":
            yield from cells(alone(size, "open"), Load(OPEN_CONNECTIONS, 2 * seconds, OPEN), arms)
    growth = [
        _Arm("10 rules", servers["10 rules"], bodies["small"], DETECTED),
        _Arm("1,000 rules", servers["1000 rules"], bodies["small"], DETECTED),
        *(
            _Arm(f"{values:,} values", servers["10 rules"], bodies[str(values)], DETECTED)
            for values in (10, 100, 1000, 2000)
        ),
    ]
    yield from cells(GROWTH, Load(1, seconds), growth)


def _measuring(program: Path, target: Target, load: Load, server: Server) -> Callable[[], Mapping[str, float]]:
    def measure() -> Mapping[str, float]:
        before = server.cpu()
        measured = send(program, target, load)
        spent = server.cpu() - before
        return {**measured, "cpu": spent / measured["sent"], "rss": server.rss()}

    return measure
