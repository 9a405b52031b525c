"""Connections of pods in ambient mode, whose traffic a node's ztunnel carries.

| from, to             | what happens                                                                            |
|----------------------|-----------------------------------------------------------------------------------------|
| ambient, ambient     | mutual TLS, and no bytes are looked at; with a waypoint, it decides                     |
| ambient, no mesh     | plaintext                                                                               |
| ambient, sidecar     | by HBONE, in mutual TLS, where the mesh has it enabled for sidecars; else in plaintext  |
| no mesh, ambient     | plaintext; refused under STRICT                                                         |
| sidecar, ambient     | by HBONE, where the mesh has it enabled for sidecars; else in plaintext                 |

Whether HBONE is enabled for sidecars is not known, so a verdict that depends on it is unknown. Not measured: what Istio
documents (Ambient mode, Data plane; Sidecar interoperability).
"""

from __future__ import annotations

from typing import Final

from webhook.mesh.arrival import Arrival, target
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.destination import Registry
from webhook.mesh.party import Party, Plane
from webhook.mesh.trace import EITHER, HBONE, WAYPOINT, Arrived, Result, Trace

_WAYPOINT: Final = "istio.io/use-waypoint"
_NO_WAYPOINT: Final = "none"
_AT_ANY_RATE: Final = frozenset({"http-declared", "tls-declared-http", "http-version"})
"""Causes that lie in the bytes, and not in how they are carried."""


def from_ambient(client: Party, arrival: Arrival, istio: IstioConfiguration, registry: Registry) -> Trace:
    """Follow a connection that a pod in ambient mode makes.

    Args:
        client: The pod.
        arrival: The connection on its way, in plaintext.
        istio: Istio's configuration.
        registry: The Services, and the labels of namespaces.
    """
    server, said = arrival.server, f"{client.name} is in ambient mode"
    if server is None or target(arrival.to, server) is None:
        return arrival.trace(istio, registry).after(said)
    match server.planes[0]:
        case Plane.AMBIENT if serving := _waypoint(arrival, server, registry):
            return Trace(Result.WORKS, Arrived.MTLS, WAYPOINT, None, (said, serving))
        case Plane.AMBIENT:
            both = f"{server.name} is, too: ztunnel carries the bytes in mutual TLS, and does not look at them"
            return Trace(Result.WORKS, Arrived.MTLS, "flows", None, (said, both))
        case Plane.SIDECAR:
            trace = arrival.trace(istio, registry).after(said)
            if trace.result is Result.WORKS:
                return Trace(Result.WORKS, trace.arrived, EITHER, None, trace.evidence)
            if trace.code in _AT_ANY_RATE:
                return trace
            return Trace(trace.result, trace.arrived, HBONE, trace.at, trace.evidence)
        case _:
            return arrival.trace(istio, registry).after(said)


def _waypoint(arrival: Arrival, server: Party, registry: Registry) -> str:
    """Return that a waypoint serves the destination, as a sentence; empty where none does.

    A pod may name one, which gets what is for pods alone: what it gets of a Service's is not known. A Service's label
    overrides its namespace's; "none" is no waypoint.
    """
    service = arrival.to.service
    own = server.labels.get(_WAYPOINT)
    if own is not None and own != _NO_WAYPOINT:
        return f"a waypoint serves {server.name}"
    if service is not None and service.waypoint is not None:
        named = f"Service {service.namespace}/{service.name}"
        return f"a waypoint serves {named}" if service.waypoint != _NO_WAYPOINT else ""
    of_namespace = (registry.namespace_labels(server.namespace) or {}).get(_WAYPOINT, _NO_WAYPOINT)
    return f"a waypoint serves {server.namespace}" if of_namespace != _NO_WAYPOINT else ""
