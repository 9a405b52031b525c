"""Find Services' ports at which connections break because of how they are declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from webhook.analysis.diagnose.anyone import for_anyone
from webhook.analysis.diagnose.causes import OF_PORTS, at_fault, cause
from webhook.analysis.diagnose.declaration import declared, does, fix_of, what
from webhook.analysis.diagnose.finding import Code, Finding, Severity, Subject
from webhook.analysis.diagnose.fix import patch_service_port
from webhook.analysis.diagnose.picture import Call, Picture, Place
from webhook.analysis.diagnose.spoken import Speakers, Spoken, clients_of, shown
from webhook.core.decision import Confidence
from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import End
from webhook.mesh.protocols import Protocol, select

_DATABASES = {"mongodb": Protocol.MONGO, "mysql": Protocol.MYSQL, "redis": Protocol.REDIS}


@dataclass(frozen=True, slots=True)
class _Broken:
    """Connections that break for one cause.

    Attributes:
        service: The Service at fault.
        port: Its port.
        calls: The connections.
    """

    service: Service
    port: ServicePort
    calls: list[Call] = field(default_factory=list)


class Ports:
    """The check of the ports of Services: by the connections to them, else by what they speak, for any client."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._speakers = Speakers(picture)
        self._clients = clients_of(picture)

    def findings(self) -> Iterator[Finding]:
        """Yield findings about the Services of the diagnosed namespaces, and those that clients there call."""
        found: set[Place] = set()
        for (namespace, name, number, code), broken in self._broken().items():
            found.add((namespace, name, number))
            yield self._of_clients(code, broken)
        for namespace in self._picture.namespaces:
            for service in sorted(self._picture.surroundings.services(namespace), key=lambda service: service.name):
                for port in service.ports:
                    if port.transport == "TCP":
                        yield from self._of_port(service, port, found)

    def _broken(self) -> dict[tuple[str, str, int, Code], _Broken]:
        """Return the connections that break because of a port's declaration, by that and the cause."""
        found: dict[tuple[str, str, int, Code], _Broken] = {}
        for call in self._picture.calls():
            judged, service = call.judged, call.service
            if not judged.verdict.outcome.breaks or service is None or judged.port is None:
                continue
            code = cause(call.judged.verdict)
            if code not in OF_PORTS:
                continue
            service, port = at_fault(self._picture, service, judged.port, code, judged.verdict.at)
            port = port or ServicePort(judged.port)
            if not {service.namespace, call.client.namespace}.isdisjoint(self._picture.namespaces):
                key = service.namespace, service.name, port.number, code
                found.setdefault(key, _Broken(service, port)).calls.append(call)
        return found

    def _of_clients(self, code: Code, broken: _Broken) -> Finding:
        service, port, calls = broken.service, broken.port, broken.calls
        place = service.namespace, service.name, port.number
        spoken = self._speakers.spoken(service, port, self._clients.get(place, calls))
        first = next((call.judged for call in calls if call.judged.confidence is Confidence.CERTAIN), calls[0].judged)
        wires = (first.wire,) if first.wire is not None else spoken.wires if spoken is not None else ()
        severity = code.severity
        if not self._is_sure(code, calls, spoken):
            severity = Severity.WARNING
        kind = spoken.kind if spoken is not None else first.kind
        exposed = (
            ("it is of type NodePort or LoadBalancer: clients outside of the cluster have no sidecar, and break, too",)
            if code is Code.PERMISSIVE_WAITS and service.exposed
            else ()
        )
        return Finding(
            code=code,
            subject=Subject("Service", *place),
            message=f"port {port.number} speaks {what(kind, wires)}, and {does(code, first.verdict, port)}",
            evidence=(
                declared(port),
                *(spoken.evidence if spoken is not None else ()),
                *first.verdict.evidence,
                *exposed,
                *shown(calls),
            ),
            fix=fix_of(self._picture, service, port, code, kind, wires),
            severity=severity,
        )

    def _is_sure(self, code: Code, calls: list[Call], spoken: Spoken | None) -> bool:
        """Return whether it is more than likely what is spoken: by images, settings of clients, or their URLs."""
        if code is Code.TLS_DECLARED_HTTP or (spoken is not None and spoken.certain):
            return True
        return any(call.judged.confidence is Confidence.CERTAIN or call.judged.kind is None for call in calls)

    def _of_port(self, service: Service, port: ServicePort, broken: set[Place]) -> Iterator[Finding]:
        place = service.namespace, service.name, port.number
        calls = self._clients.get(place, [])
        spoken = self._speakers.spoken(service, port, calls)
        if spoken is None:
            return
        if (finding := _odd(service, port, spoken, calls)) is not None:
            yield finding
        elif place not in broken and self._decides(service, port):
            yield from for_anyone(self._picture, service, port, spoken, calls)

    def _decides(self, service: Service, port: ServicePort) -> bool:
        """Return whether no other Service declares the port of the pods for their sidecars."""
        fault, _ = at_fault(self._picture, service, port.number, Code.HTTP_DECLARED, End.SERVER)
        return (fault.namespace, fault.name) == (service.namespace, service.name)


def _odd(service: Service, port: ServicePort, spoken: Spoken, calls: list[Call]) -> Finding | None:
    """Return what is wrong with a declaration that verdicts do not depend on."""
    protocol = select(port).protocol
    if protocol is Protocol.UDP:
        code, consequence = Code.UDP_DECLARED, "Istio ignores the port for TCP; traffic bypasses the mesh"
    elif protocol in _DATABASES.values() and protocol is not _DATABASES.get(spoken.kind):
        code, consequence = Code.WRONG_DATABASE, f"Istio may parse it as {protocol}"
    else:
        return None
    return Finding(
        code=code,
        subject=Subject("Service", service.namespace, service.name, port.number),
        message=f"port {port.number} speaks {spoken.kind}, and {consequence}",
        evidence=(
            declared(port),
            *spoken.evidence,
            *shown([call for call in calls if call.judged.kind == spoken.kind]),
        ),
        fix=patch_service_port(
            service, port, Protocol.TCP.value, f"or name the port tcp-{spoken.kind} and set no appProtocol"
        ),
        severity=code.severity,
    )
