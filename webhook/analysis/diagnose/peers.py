"""Find headless Services that lack a port at which the members of a cluster call each other."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.analysis.diagnose.finding import Code, Finding, Severity, Subject
from webhook.analysis.diagnose.fix import add_service_port
from webhook.analysis.diagnose.picture import Member, Picture
from webhook.core.surroundings import Service
from webhook.core.verdict import Outcome, Security, Verdict, Wire
from webhook.mesh.destination import Destination

_EXCLUSIONS = "traffic.sidecar.istio.io/excludeInboundPorts and excludeOutboundPorts"


def peer_ports(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the ports of clusters' members that their headless Service does not list.

    By the address of such a Service's pod, sidecars know only what the Service lists. All else they pass through in
    plaintext.
    """
    for member in picture.members:
        if member.namespace not in picture.namespaces or not member.has_sidecar:
            continue
        selecting = picture.surroundings.services(member.namespace).selecting(member.pod.labels)
        headless = sorted((service for service in selecting if service.headless), key=lambda found: found.name)
        for kind, number in _peers(picture, member) if headless else ():
            if not any(_lists(service, member, number) for service in headless):
                yield from _unlisted(picture, member, headless[0], kind, number)


def _peers(picture: Picture, member: Member) -> Iterator[tuple[str, int]]:
    """Yield the ports at which a workload's pods call each other, as far as its containers declare them."""
    for container in member.pod.spec.containers or ():
        kind = picture.catalog.of_image(container.image or "")
        for port in container.ports or () if kind is not None else ():
            if kind is not None and port.container_port in picture.catalog.peer_ports(kind):
                yield kind, port.container_port


def _lists(service: Service, member: Member, number: int) -> bool:
    """Return whether a Service lists a port of the pods: a headless one is called at the pods' own port."""
    return any(
        port.transport == "TCP" and number in {port.number, port.leads_to(member.pod.named_ports)}
        for port in service.ports
    )


def _unlisted(picture: Picture, member: Member, service: Service, kind: str, number: int) -> Iterator[Finding]:
    to = Destination(number, service, servers=(member.party,))
    verdict = picture.composer.judge(member.party, to, (Wire.CLIENT_FIRST,))
    if not verdict.outcome.breaks and verdict.security is Security.MTLS:
        return
    name = f"tcp-{kind}-{number}"
    yield Finding(
        code=Code.PEER_PORT_UNLISTED,
        subject=Subject("Service", service.namespace, service.name, number),
        message=f"{kind}'s members call each other at port {number}, which the Service does not list: {_so(verdict)}",
        evidence=(f"container of {member.label} has port {number}", *verdict.evidence),
        fix=add_service_port(service, number, name, f"or exclude the port at both ends: {_EXCLUSIONS}"),
        severity=Code.PEER_PORT_UNLISTED.severity if verdict.outcome.breaks else Severity.INFO,
    )


def _so(verdict: Verdict) -> str:
    if verdict.outcome.breaks:
        return "sidecars pass it through in plaintext, which is refused"
    if verdict.outcome is Outcome.UNKNOWN:
        return "sidecars pass it through in plaintext"
    return "sidecars pass it through in plaintext, and it has no mutual TLS"
