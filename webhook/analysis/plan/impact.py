"""The impact of pods that lose their sidecar while Istio's configuration depends on it, whoever calls them.

What becomes of the connections that are known is in `flows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from webhook.analysis.plan.changes import Change
from webhook.core.surroundings import Surroundings
from webhook.mesh.config import IstioConfiguration, names


class Consequence(Enum):
    """The kind of impact: a stable code, and whether connections fail."""

    MUTUAL_FAILS = ("mutual-fails", True)
    STRICT_GIVEN_UP = ("strict-given-up", False)
    ROUTES_NOT_FOLLOWED = ("routes-not-followed", False)

    def __init__(self, code: str, breaks: bool) -> None:  # noqa: FBT001 - a row of the table above
        self.code = code
        self.breaks = breaks


@dataclass(frozen=True, slots=True)
class Warned:
    """One consequence for one workload.

    Attributes:
        kind: "Deployment".
        namespace: Its namespace.
        name: Its name.
        consequence: The kind of impact.
        message: One sentence for users.
        evidence: The evidence, without any value.
    """

    kind: str
    namespace: str
    name: str
    consequence: Consequence
    message: str
    evidence: tuple[str, ...]


def consequences(change: Change, surroundings: Surroundings, istio: IstioConfiguration) -> Iterator[Warned]:
    """Yield every consequence of a workload's losing its sidecar, beside those for its known connections."""
    yield from _as_client(change, surroundings, istio)
    yield from _as_server(change, surroundings, istio)


def _as_client(change: Change, surroundings: Surroundings, istio: IstioConfiguration) -> Iterator[Warned]:
    for (namespace, name), evidence in change.after.findings.called.items():
        service = surroundings.service(namespace, name)
        if service is None:
            continue
        for route in istio.routes:
            if not route.is_for_sidecars:
                continue
            if any(names(host, route.metadata.namespace, service) for host in route.spec.hosts or ()):
                where = f"only at the gateway {', '.join(route.gateways)}" if route.gateways else "nowhere"
                message = f"VirtualService {route.metadata} no longer applies to its calls to {name}: "
                message += f"its routes would apply {where}"
                yield _warned(change, Consequence.ROUTES_NOT_FOLLOWED, message, evidence)


def _as_server(change: Change, surroundings: Surroundings, istio: IstioConfiguration) -> Iterator[Warned]:
    peer = istio.strict(change.namespace, change.pod.labels)
    if peer is not None:
        message = (
            f"PeerAuthentication {peer.metadata} requires mutual TLS, but nothing enforces it without a sidecar: "
            "plaintext is accepted"
        )
        yield _warned(change, Consequence.STRICT_GIVEN_UP, message)
    for service in surroundings.services(change.namespace).selecting(change.pod.labels):
        for rule in istio.destinations:
            if names(rule.spec.host, rule.metadata.namespace, service) and rule.is_mutual_for(change.pod.labels):
                message = (
                    f"DestinationRule {rule.metadata} makes clients use ISTIO_MUTUAL, "
                    "which the pod cannot terminate without a sidecar"
                )
                yield _warned(change, Consequence.MUTUAL_FAILS, message, f"Service {service.name} selects it")


def _warned(change: Change, consequence: Consequence, message: str, *evidence: str) -> Warned:
    return Warned(change.kind, change.namespace, change.name, consequence, message, evidence)
