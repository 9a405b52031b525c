"""Find Services whose ports are declared with the wrong protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.analysis.diagnose.finding import Code, Finding, Severity, Subject
from webhook.analysis.diagnose.fix import patch_service_port
from webhook.analysis.diagnose.picture import Picture
from webhook.core.decision import Confidence
from webhook.core.surroundings import Service, ServicePort
from webhook.mesh.eligibility import is_istio_container
from webhook.mesh.protocols import Protocol, Selection, select

_DATABASES = {"mongodb": Protocol.MONGO, "mysql": Protocol.MYSQL, "redis": Protocol.REDIS}
_SHOWN_CLIENTS = 3

Place = tuple[str, str, int]
"""A Service's namespace and name, and the number of one of its ports."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The inferred protocol of a port.

    Attributes:
        kind: The catalog's name of the backend.
        certain: Whether there is more evidence than a port's number.
        evidence: The evidence, one sentence each.
    """

    kind: str
    certain: bool
    evidence: tuple[str, ...]


class Ports:
    """The check of the ports of Services, by the images behind them, by their clients, and by their numbers."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._catalog = picture.catalog
        self._clients: dict[Place, dict[str, tuple[str, Confidence, str]]] = {}
        for member in picture.members:
            for dependency, service, port in picture.called(member):
                client = f"client {member.label}: {dependency.evidence}"
                calls = self._clients.setdefault((service.namespace, service.name, port.number), {})
                calls.setdefault(f"{member.namespace}/{member.label}", (dependency.kind, dependency.confidence, client))

    def findings(self) -> Iterator[Finding]:
        """Yield findings about the Services of the diagnosed namespaces."""
        for namespace in self._picture.namespaces:
            for service in sorted(self._picture.surroundings.services(namespace), key=lambda service: service.name):
                for port in service.ports:
                    if port.transport == "TCP" and (finding := self._judge(service, port)) is not None:
                        yield finding

    def _judge(self, service: Service, port: ServicePort) -> Finding | None:
        spoken = self._spoken(service, port)
        if spoken is None:
            return None
        selection = select(port)
        judged = self._wrong(spoken.kind, self._numbers(service, port), selection)
        if judged is None:
            return None
        code, consequence = judged
        severity = code.severity if spoken.certain else Severity.WARNING
        note = f"or name the port tcp-{spoken.kind} and set no appProtocol"
        return Finding(
            code=code,
            subject=Subject("Service", service.namespace, service.name, port.number),
            message=f"port {port.number} speaks {spoken.kind}, and Istio {consequence}",
            evidence=(f"{_declared(selection)}: {selection.because}", *spoken.evidence),
            fix=patch_service_port(service, port, Protocol.TCP.value, note),
            severity=severity,
        )

    def _wrong(self, kind: str, numbers: tuple[int, ...], selection: Selection) -> tuple[Code, str] | None:
        """Return what is wrong with the declaration of a backend's port, and what Istio does because of it."""
        protocol = selection.protocol
        if protocol is None:
            if self._catalog.server_speaks_first(kind):
                return Code.SERVER_FIRST, "waits for the client's first bytes while the client waits for the server's"
            return None
        if protocol.is_http:
            rightly = any(self._catalog.answers_http(kind, number) for number in numbers)
            return None if rightly else (Code.HTTP_DECLARED, f"parses it as {protocol}")
        if protocol is Protocol.UDP:
            return Code.UDP_DECLARED, "ignores the port for TCP; traffic bypasses the mesh"
        if protocol in _DATABASES.values() and protocol is not _DATABASES.get(kind):
            return Code.WRONG_DATABASE, f"may parse it as {protocol}"
        return None

    def _spoken(self, service: Service, port: ServicePort) -> Spoken | None:
        numbers = self._numbers(service, port)
        images = self._images(service, numbers)
        calls = list(self._clients.get((service.namespace, service.name, port.number), {}).values())
        for image, kind in images.items():
            if any(self._catalog.uses_port(kind, number) for number in numbers):
                return self._concluded(kind, [f"the pods behind it run image {image}"], numbers, calls, certain=True)
        if any(self._catalog.is_console(number) for number in numbers):
            return None
        kinds = set(images.values())
        if len(kinds) == 1 and len(service.ports) == 1:
            (kind,) = kinds
            image = next(iter(images))
            return self._concluded(
                kind, [f"the pods behind it run image {image}, and this is its only port"], numbers, calls
            )
        called = {kind for kind, _, _ in calls}
        if len(called) == 1 and (not kinds or called <= kinds):
            return self._concluded(called.pop(), [], numbers, calls)
        by_number = next((found for number in numbers if (found := self._catalog.of_port(number)) is not None), None)
        if by_number is not None and (not kinds or by_number in kinds) and not called - {by_number}:
            return self._concluded(by_number, [], numbers, calls)
        return None

    def _concluded(
        self,
        kind: str,
        evidence: list[str],
        numbers: tuple[int, ...],
        calls: list[tuple[str, Confidence, str]],
        *,
        certain: bool = False,
    ) -> Spoken:
        evidence += [
            f"port {number} is a known port of {kind}" for number in numbers if self._catalog.uses_port(kind, number)
        ]
        agreeing = [call for call in calls if call[0] == kind]
        evidence += [shown for _, _, shown in agreeing[:_SHOWN_CLIENTS]]
        if len(agreeing) > _SHOWN_CLIENTS:
            evidence.append(f"further clients: {len(agreeing) - _SHOWN_CLIENTS}")
        sure = certain or any(confidence is Confidence.CERTAIN for _, confidence, _ in agreeing)
        return Spoken(kind, sure, tuple(evidence))

    def _numbers(self, service: Service, port: ServicePort) -> tuple[int, ...]:
        """Return the port's number, and its target port when that is another one."""
        named: dict[str, int] = {}
        for member in self._picture.behind(service):
            named |= member.pod.named_ports
        target = port.leads_to(named)
        return (port.number,) if target is None or target == port.number else (port.number, target)

    def _images(self, service: Service, numbers: tuple[int, ...]) -> dict[str, str]:
        """Return the server images behind a Service, and their kinds; of several containers, the one with the port."""
        images: dict[str, str] = {}
        for member in self._picture.behind(service):
            containers = [
                container for container in member.pod.spec.containers or () if not is_istio_container(container)
            ]
            owning = [
                container
                for container in containers
                if any(declared.container_port in numbers for declared in container.ports or ())
            ]
            for container in owning or containers:
                kind = self._catalog.of_image(container.image or "")
                if container.image and kind is not None and self._catalog.relays(container.image) != "":
                    images[container.image] = kind
        if not self._picture.behind(service):
            images = {image: kind for image in service.images if (kind := self._catalog.of_image(image)) is not None}
        return images


def _declared(selection: Selection) -> str:
    return "Istio sniffs its protocol" if selection.protocol is None else f"Istio treats it as {selection.protocol}"
