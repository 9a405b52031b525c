"""Judge a Service's port for any client, where none is in sight whose connections break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from webhook.analysis.diagnose.causes import OF_PORTS, cause
from webhook.analysis.diagnose.declaration import declared, does, fix_of, what
from webhook.analysis.diagnose.finding import Code, Finding, Severity, Subject
from webhook.analysis.diagnose.picture import Call, Picture
from webhook.analysis.diagnose.spoken import Spoken, shown
from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import Outcome, Verdict, Wire
from webhook.mesh.party import Party, Plane
from webhook.mesh.protocols import select

_HTTP = frozenset({Wire.HTTP1, Wire.HTTP2})
_NOT_IN_SIGHT = {
    Plane.NONE: "no client without a sidecar is in sight, and those with one work",
    Plane.SIDECAR: "no client with a sidecar is in sight, and those without one work",
}

_EXPOSED = "it is of type NodePort or LoadBalancer: clients outside of the cluster have no sidecar"


@dataclass(frozen=True, slots=True)
class _Broken:
    """What breaks for a kind of client.

    Attributes:
        code: The cause.
        verdict: What becomes of the connection.
    """

    code: Code
    verdict: Verdict


def for_anyone(
    picture: Picture, service: Service, port: ServicePort, spoken: Spoken, calls: Sequence[Call]
) -> Iterator[Finding]:
    """Yield what is wrong with a port.

    Args:
        picture: The cluster.
        service: The Service.
        port: Its port.
        spoken: What it speaks.
        calls: The connections to it that are known; none of them breaks because of the port.
    """
    wrong = _wrong(spoken, port)
    judged = {plane: _judged(picture, service, port, spoken, plane) for plane in (Plane.SIDECAR, Plane.NONE)}
    breaking = {plane: found for plane, found in judged.items() if isinstance(found, _Broken)}
    causes = [plane for plane, found in breaking.items() if found.code in OF_PORTS and service.external_name is None]
    why: tuple[str, ...] = ()
    if causes and len(breaking) == len(judged):
        plane = causes[0]
        severity = breaking[plane].code.severity if spoken.certain else Severity.WARNING
    elif causes:
        plane = causes[0]
        exposed = service.exposed and plane is Plane.NONE
        severity = Severity.WARNING if exposed else Severity.INFO
        why = (_EXPOSED if exposed else _NOT_IN_SIGHT[plane],)
    elif wrong is not None:
        yield _harmless(picture, service, port, spoken, calls, wrong, known=Outcome.UNKNOWN not in judged.values())
        return
    else:
        return
    found = breaking[plane]
    speaks = f"port {port.number} speaks {what(spoken.kind, spoken.wires)}"
    yield Finding(
        code=found.code,
        subject=Subject("Service", service.namespace, service.name, port.number),
        message=f"{speaks}, and {does(found.code, found.verdict, port)}",
        evidence=(declared(port), *spoken.evidence, *found.verdict.evidence, *why, *shown(calls)),
        fix=fix_of(picture, service, port, found.code, spoken.kind, spoken.wires),
        severity=severity,
    )


def _judged(picture: Picture, service: Service, port: ServicePort, spoken: Spoken, plane: Plane) -> _Broken | Outcome:
    """Return what breaks for a kind of client whatever may be spoken; else that connections flow, or may."""
    client = Party("a client", service.namespace, planes=(plane,))
    to = picture.composer.destination(service.name, port.number, service)
    if to.servers == ():  # there are no pods now, and there will be
        to = replace(to, servers=picture.neighbours.any_of(service)) if service.selector else to
    verdicts = [picture.composer.judge(client, to, (wire,)) for wire in spoken.wires]
    if all(verdict.outcome.breaks for verdict in verdicts):
        return _Broken(cause(verdicts[0]), verdicts[0])
    if any(verdict.outcome is Outcome.UNKNOWN for verdict in verdicts):
        return Outcome.UNKNOWN
    return Outcome.FLOWS


def _wrong(spoken: Spoken, port: ServicePort) -> Code | None:
    """Return what is wrong with a declaration, whether or not a sidecar takes note of it."""
    protocol = select(port).protocol
    if protocol is None:
        return Code.SERVER_FIRST if spoken.wires == (Wire.SERVER_FIRST,) else None
    if not protocol.is_http or not _HTTP.isdisjoint(spoken.wires):
        return None
    return Code.TLS_DECLARED_HTTP if spoken.wires == (Wire.TLS,) else Code.HTTP_DECLARED


def _harmless(
    picture: Picture,
    service: Service,
    port: ServicePort,
    spoken: Spoken,
    calls: Sequence[Call],
    code: Code,
    *,
    known: bool,
) -> Finding:
    """Return the finding about a wrong declaration that no sidecar takes note of, or maybe none."""
    if known:
        does_now = "which does no harm now: no sidecar parses it; it would once the pods behind it have one"
    else:
        does_now = "which breaks connections if the pods behind it, which are not known, have a sidecar"
    if service.external_name is not None:
        does_now = "which does no harm now: sidecars pay no regard to the ports of an ExternalName Service"
    return Finding(
        code=code,
        subject=Subject("Service", service.namespace, service.name, port.number),
        message=f"port {port.number} speaks {what(spoken.kind, spoken.wires)}, and is not declared so, {does_now}",
        evidence=(declared(port), *spoken.evidence, *shown(calls)),
        fix=fix_of(picture, service, port, code, spoken.kind, spoken.wires),
        severity=Severity.INFO if known else Severity.WARNING,
    )
