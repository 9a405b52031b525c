"""What the ports of Services speak: by the images behind them, by their clients, and by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from webhook.analysis.diagnose.picture import Call, Picture, Place
from webhook.core.decision import Confidence
from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import Wire
from webhook.detection.words import words
from webhook.mesh.eligibility import is_istio_container
from webhook.mesh.protocols import select

SHOWN_CLIENTS = 3
_PLAIN_OR_TLS = (Wire.CLIENT_FIRST, Wire.TLS)


@dataclass(frozen=True, slots=True)
class Spoken:
    """The inferred protocol of a port.

    Attributes:
        kind: The catalog's name of the backend.
        wires: What may be said first; more than one where it is not known.
        certain: Whether there is more evidence than a port's number.
        evidence: The evidence without clients, one sentence each.
    """

    kind: str
    wires: tuple[Wire, ...]
    certain: bool
    evidence: tuple[str, ...]


def clients_of(picture: Picture) -> dict[Place, list[Call]]:
    """Return the connections to each Service's port."""
    found: dict[Place, list[Call]] = {}
    for call in picture.calls():
        service, port = call.judged.service, call.judged.port
        if service is not None and port is not None:
            found.setdefault((service.namespace, service.name, port), []).append(call)
    return found


class Speakers:
    """The inference of what ports speak."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._catalog = picture.catalog

    def spoken(self, service: Service, port: ServicePort, calls: Sequence[Call]) -> Spoken | None:
        """Return what a Service's port speaks; None where that is not known.

        Args:
            service: The Service.
            port: Its port.
            calls: The connections to it that are known.
        """
        numbers = self.numbers(service, port)
        images = self._images(service, numbers)
        for image, kind in images.items():
            if any(self._catalog.uses_port(kind, number) for number in numbers):
                return self._concluded(kind, [f"the pods behind it run image {image}"], numbers, calls, certain=True)
        if any(self._catalog.is_console(number) for number in numbers):
            return None
        kinds = set(images.values())
        if len(kinds) == 1 and len(service.ports) == 1 and not self._named(service, port, numbers):
            (kind,) = kinds
            image = next(iter(images))
            said = f"the pods behind it run image {image}, and this is its only port"
            return self._concluded(kind, [said], numbers, calls)
        called = {call.judged.kind for call in calls if call.judged.kind is not None}
        if len(called) == 1 and (not kinds or called <= kinds):
            return self._concluded(called.pop(), [], numbers, calls)
        if (named := self._named(service, port, numbers)) is not None and not called - {named}:
            return self._concluded(named, [f"Service and port are named after {named}"], numbers, calls)
        by_number = self._catalog.of_port(numbers[-1])  # what the pods listen at, as far as it is known
        if by_number is None or (kinds and by_number not in kinds) or called - {by_number}:
            return None
        # A number alone says less than a declaration that fits the image behind it, which is no backend's.
        protocol = select(port).protocol
        if not kinds and protocol is not None and protocol.is_http and self._runs_others(service):
            return None
        return self._concluded(by_number, [], numbers, calls)

    def numbers(self, service: Service, port: ServicePort) -> tuple[int, ...]:
        """Return the port's number, and its target port when that is another one."""
        named: dict[str, int] = {}
        for member in self._picture.behind(service):
            named |= member.pod.named_ports
        target = port.leads_to(named)
        return (port.number,) if target is None or target == port.number else (port.number, target)

    def _named(self, service: Service, port: ServicePort, numbers: tuple[int, ...]) -> str | None:
        """Return the kind whose port it is, and after which both the Service and its port are named."""
        for number in numbers:
            kind = self._catalog.of_port(number)
            if kind is not None and kind in words(service.name) and kind in words(port.name or ""):
                return kind
        return None

    def _concluded(
        self, kind: str, evidence: list[str], numbers: tuple[int, ...], calls: Sequence[Call], *, certain: bool = False
    ) -> Spoken:
        evidence += [
            f"port {number} is a known port of {kind}" for number in numbers if self._catalog.uses_port(kind, number)
        ]
        agreeing = [call.judged for call in calls if call.judged.kind == kind]
        sure = certain or any(judged.confidence is Confidence.CERTAIN for judged in agreeing)
        return Spoken(kind, self._wires(kind, numbers, calls), sure, tuple(evidence))

    def _wires(self, kind: str, numbers: tuple[int, ...], calls: Sequence[Call]) -> tuple[Wire, ...]:
        """Return what is said first: as the clients are configured, else as the catalog has it for the port."""
        known = {call.judged.wire for call in calls if call.judged.wire is not None}
        if len(known) == 1:
            return tuple(known)
        for number in reversed(numbers):
            if (wire := self._catalog.said(kind, "", number, None)) is not None:
                return (wire,)
        return _PLAIN_OR_TLS

    def _runs_others(self, service: Service) -> bool:
        """Return whether it is known what runs behind a Service, and none of it passes connections on."""
        known = self._picture.surroundings.service(service.namespace, service.name)
        images = () if known is None else known.images
        return bool(images) and all(not self._catalog.relays(image) for image in images)

    def _images(self, service: Service, numbers: tuple[int, ...]) -> dict[str, str]:
        """Return the server images behind a Service, and their kinds; of several containers, the one with the port."""
        images: dict[str, str] = {}
        behind = self._picture.behind(service)
        for member in behind:
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
        if not behind:
            images = {image: kind for image in service.images if (kind := self._catalog.of_image(image)) is not None}
        return images


def shown(calls: Sequence[Call]) -> list[str]:
    """Return the first clients as evidence, and how many there are besides."""
    lines = list(dict.fromkeys(call.evidence for call in calls))
    rest = len(lines) - SHOWN_CLIENTS
    return lines[:SHOWN_CLIENTS] + ([f"further clients: {rest}"] if rest > 0 else [])
