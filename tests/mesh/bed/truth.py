"""The table of truth as a file: one line for each connection, sorted, so that a diff shows what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from matrix import AXES, Cell

PATH = Path(__file__).parents[1] / "truth.yaml"
HEADER = """\
# What became of connections through real sidecars; `make mesh-truth` measures all of it, `make e2e-mesh` a sample.
#
# Every line is one connection that was made, on: kube-apiserver and kube-controller-manager; istiod and pilot-agent,
# built from Istio's module; upstream Envoy; iptables written by `pilot-agent istio-iptables`. A pod is a network
# namespace; a cluster IP is a DNAT rule.
#
# result   what the client saw: works, protocol error (an answer that is none of its protocol), error response (one of
#          HTTP, of another status than 200), hangs (for 12 s; in scenarios 6), reset (or closed), refused, unreachable,
#          or black hole: the connection ended, and nothing of it had arrived at the server's pod
# wire     what arrived at the server's pod, read from its interface before iptables and sidecar: nothing, connection
#          (no byte), plain, or mtls (a ClientHello whose server name is that of one of Istio's clusters)
# saw      what the client received instead of an answer, or why its TLS failed
# flaky    all that was seen, where it was not the same each time: cells are measured twice, in different orders
#
# The axes of a cell are described in tests/mesh/bed/matrix.py, the scenarios in scenarios.py, the protocols in
# speakers.py. Clients call the Service's port, at its cluster IP or, where it is headless, at the pod's address.
"""


@dataclass(frozen=True, order=True)
class Seen:
    """What came of a connection.

    Attributes:
        result: In the words of `speakers`.
        wire: What arrived at the server's pod, in the words of `wire`.
        detail: What the client received instead of an answer.
    """

    result: str
    wire: str
    detail: str = ""


@dataclass(frozen=True, order=True)
class Sight:
    """What was seen of one connection of a scenario.

    Attributes:
        scenario: What the scenario is about.
        step: What is so at this moment.
        client: The client's sidecar, as in the matrix.
        protocol: What is spoken.
    """

    scenario: str
    step: str
    client: str
    protocol: str


Key = Cell | Sight


@dataclass(frozen=True)
class Measured:
    """A connection, and what was seen of it.

    Attributes:
        key: Which connection.
        seen: What was seen last.
        flaky: All that was seen, where it was not always the same.
    """

    key: Key
    seen: Seen
    flaky: tuple[Seen, ...] = ()


def dump(versions: Mapping[str, str], measured: Iterable[Measured]) -> str:
    """The file's text."""
    every = list(measured)
    cells = {str(one.key): dict(one.key.values()) | _result(one) for one in every if isinstance(one.key, Cell)}
    sights = [vars(one.key) | _result(one) for one in every if isinstance(one.key, Sight)]
    lines = [
        "versions:",
        *(f"  {name}: {version}" for name, version in versions.items()),
        "cells:",
        *(f"- {_flow(cells[key])}" for key in sorted(cells)),
        "scenarios:",
        *(f"- {_flow(one)}" for one in sights),
    ]
    return HEADER + "\n".join([*lines, ""])


def load(text: str) -> dict[Key, Measured]:
    """What a file says of each connection."""
    document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found: dict[Key, Measured] = {}
    for line in document["cells"]:
        key = Cell(**{name: line[name] for name in AXES})
        found[key] = _measured(key, line)
    for line in document["scenarios"]:
        sight = Sight(*(line[name] for name in ("scenario", "step", "client", "protocol")))
        found[sight] = _measured(sight, line)
    return found


def differences(expected: Mapping[Key, Measured], measured: Iterable[Measured]) -> list[str]:
    """The connections of which something else was seen than is written down; one that is flaky may be any of it."""
    found = []
    for one in measured:
        if one.key not in expected:
            found.append(f"{one.key}: not in {PATH.name}: measure all with make mesh-truth")
            continue
        wanted = expected[one.key]
        if one.seen != wanted.seen and one.seen not in wanted.flaky:
            found.append(f"{one.key}: expected {_flow(written(wanted.seen))}, seen {_flow(written(one.seen))}")
    return found


def _measured(key: Key, line: Mapping) -> Measured:
    seen = Seen(line["result"], line["wire"], line.get("saw", ""))
    return Measured(key, seen, tuple(Seen(*one) for one in line.get("flaky", ())))


def _result(one: Measured) -> dict:
    flaky = {"flaky": [[seen.result, seen.wire, seen.detail] for seen in one.flaky]} if one.flaky else {}
    return written(one.seen) | flaky


def written(seen: Seen) -> dict[str, str]:
    """What came of a connection, as the file has it."""
    return {"result": seen.result, "wire": seen.wire} | ({"saw": seen.detail} if seen.detail else {})


def _flow(line: Mapping) -> str:
    return yaml.safe_dump(dict(line), default_flow_style=True, sort_keys=False, width=10_000).strip()
