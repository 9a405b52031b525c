"""The server alone: who answers an AdmissionReview on loopback, how fast, and at what cost; and how soon."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import policies
import reviews
from figures import Cell
from goals import CONNECTIONS, GROWTH, LARGE_CONNECTIONS, OPEN, START, alone
from load import Load, Target, send
from processes import Programs
from servers import PEERS, Certificate, Server, certificate, start_constant, start_ours, start_peer

PATCHED = '"patchType":"JSONPatch"'
DECIDED = '"rule":"datastore-clients"'
"""The last rule, which matches by what is detected: ours has done all of its work when it says this."""
OPEN_CONNECTIONS = 32
Servers = Sequence[Server]
"""Who is asked: connections take one of them each in turn."""
PROFILER = Path(__file__).with_name("profiled.py")


@dataclass(frozen=True, slots=True)
class _Arm:
    name: str
    servers: Servers
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
        servers = {name: [start_peer(programs, tools / name, pair)] for name in PEERS}
        servers["floor in Python"] = [start_constant(programs, pair)]
        for count, replicas in ((10, 2), (1000, 1)):
            policy = policies.write(directory / f"{count}-rules.yaml", count)
            names = [f"sidecar-policy-{count}-rules-{number}" for number in range(replicas)]
            servers[f"{count} rules"] = [start_ours(programs, name, pair, policy) for name in names]
        yield [*_cells(tools / "load", pair, servers, bodies, seconds), *_starts(tools, directory, pair)]


def profiled(tools: Path, directory: Path, seconds: float) -> dict[str, dict[str, int]]:
    """Where the CPU time of ours goes.

    Args:
        tools: The directory of the load generator.
        directory: Where everything goes; it is empty.
        seconds: How long requests are sent.

    Returns:
        By size of the pods: how often the profiler met each part.
    """
    pair = certificate(directory / "certs")
    bodies = _bodies(directory)
    policy = policies.write(directory / "policy.yaml", 10)
    met = {}
    for size in ("small", "large"):
        output = directory / f"{size}.profile"
        command: list[str | Path] = [sys.executable, "-P", PROFILER, output]
        with Programs(directory) as programs:
            server = start_ours(programs, f"sidecar-policy-{size}", pair, policy, command)
            server.program.signal(signal.SIGUSR2)
            send(tools / "load", Target([server.url], pair.authority, bodies[size], DECIDED), Load(8, seconds))
            server.program.stop(grace=15)
        met[size] = json.loads(output.read_text())
    return met


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
    program: Path,
    pair: Certificate,
    servers: Mapping[str, Servers],
    bodies: Mapping[str, Path],
    seconds: float,
) -> Iterator[Cell]:
    def cells(scenario: str, load: Load, arms: Sequence[_Arm]) -> Iterator[Cell]:
        for arm in arms:
            target = Target([server.url for server in arm.servers], pair.authority, arm.bodies, arm.expect)
            yield Cell(scenario, arm.name, _measuring(program, target, load, arm.servers))

    both = servers["10 rules"]
    for size, many in (("small", CONNECTIONS), ("large", LARGE_CONNECTIONS)):
        arms = [
            _Arm("go typed", servers["typed"], bodies[size], PATCHED),
            _Arm("go lean", servers["lean"], bodies[size], PATCHED),
            _Arm("floor", servers["floor"], bodies[size], ""),
            _Arm("floor in Python", servers["floor in Python"], bodies[size], ""),
            _Arm("ours, new pods", both[:1], bodies[size], DECIDED),
            _Arm("ours, replicas", both[:1], bodies[f"{size}, replicas"], DECIDED),
        ]
        as_installed = [
            _Arm("two of ours, new pods", both, bodies[size], DECIDED),
            _Arm("two of ours, replicas", both, bodies[f"{size}, replicas"], DECIDED),
        ]
        for connections in many:
            beside = as_installed if connections > 1 else []
            yield from cells(alone(size, connections), Load(connections, seconds), [*arms, *beside])
        if size == "small":
            yield from cells(alone(size, "open"), Load(OPEN_CONNECTIONS, 2 * seconds, OPEN), arms)
    growth = [
        _Arm("10 rules", both[:1], bodies["small"], DECIDED),
        _Arm("1,000 rules", servers["1000 rules"], bodies["small"], DECIDED),
        *(_Arm(f"{values:,} values", both[:1], bodies[str(values)], DECIDED) for values in (10, 100, 1000, 2000)),
    ]
    yield from cells(GROWTH, Load(1, seconds), growth)


def _starts(tools: Path, directory: Path, pair: Certificate) -> Iterator[Cell]:
    logs = directory / "starts"
    logs.mkdir()

    def cell(arm: str, start: Callable[[Programs], Server]) -> Cell:
        def measure() -> Mapping[str, float]:
            with Programs(logs) as programs:
                began = time.monotonic()
                start(programs)
                return {"ready": time.monotonic() - began}

        return Cell(START, arm, measure)

    policy = policies.write(logs / "policy.yaml", 10)
    yield cell("go typed", lambda programs: start_peer(programs, tools / "typed", pair))
    yield cell("floor in Python", lambda programs: start_constant(programs, pair))
    yield cell("ours", lambda programs: start_ours(programs, "sidecar-policy", pair, policy))


def _measuring(program: Path, target: Target, load: Load, servers: Servers) -> Callable[[], Mapping[str, float]]:
    def measure() -> Mapping[str, float]:
        before = sum(server.cpu() for server in servers)
        measured = send(program, target, load)
        spent = sum(server.cpu() for server in servers) - before
        return {**measured, "cpu": spent / measured["sent"], "rss": sum(server.rss() for server in servers)}

    return measure
