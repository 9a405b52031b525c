"""The kinds of backend that a pod is itself a server of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from webhook.core.budget import Budget
from webhook.core.facts import is_batch
from webhook.core.surroundings import Services, Surroundings
from webhook.detection.catalog import Catalog
from webhook.detection.resolve.programs import first_of, started_by
from webhook.detection.words import words
from webhook.kubernetes.pod import Container, Pod
from webhook.mesh import MESH

_ASIDE_PORTS = frozenset({"metrics", "exporter", "http", "https", "web", "ui"})
# A container that only waits to be entered runs no server, whatever its image could run.
_IDLE = frozenset({"sleep", "tail", "cat", "pause"})


@dataclass(frozen=True, slots=True)
class Served:
    """The kinds that a pod serves.

    Attributes:
        kinds: The kinds, sorted.
        relayed: Those of them that it only proxies, so that it is their client as well.
        by_container: The kind that a container certainly runs the server of, by the container's name: it is the image's
            own program, or one that is known.
    """

    kinds: tuple[str, ...] = ()
    relayed: frozenset[str] = frozenset()
    by_container: Mapping[str, str] = field(default_factory=dict)


def served_by(pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, budget: Budget) -> Served:
    """Infer the kinds that the pod serves.

    A server image or program is evidence, unless the pod is a Job or only runs the image's client tools. So is a
    well-known port that the pod exposes, when a Service that selects the pod has it too or the port's name agrees.
    An image that can run several servers, of which the ports show another one, is not evidence.
    """
    if is_batch(pod):
        return Served()
    containers = [container for container in pod.spec.containers or () if not MESH.is_injected(container)]
    for container in containers:
        for given in (container.command, container.args):
            if given:
                budget.spend(len(given) // 16 + sum(map(len, given)) // 64)
    by_port = set(_behind_services(pod, containers, surroundings.services(namespace), catalog, budget))
    started = {container.name: started_by(container) for container in containers}
    run_by = {container.name: _run_by(container, started[container.name], catalog) for container in containers}
    by_image = {kind for kind in run_by.values() if kind is not None}
    if by_port and not by_image & by_port:
        by_image = {kind for kind in by_image if not _exposes_nothing_of(kind, containers, catalog)}
    found = by_port | by_image
    passed_on = {relay for container in containers if (relay := catalog.relays(container.image or "")) is not None}
    relayed = found if "" in passed_on else found & passed_on
    surely = {
        container.name: kind
        for container in containers
        if (kind := run_by[container.name]) in found
        and (kind not in relayed or catalog.relays(container.image or "") == kind)
        and (not container.command or _server(started[container.name], catalog))
    }
    return Served(tuple(sorted(found)), frozenset(relayed), surely)


def _exposes_nothing_of(kind: str, containers: list[Container], catalog: Catalog) -> bool:
    """Return whether the containers declare ports, and none that the kind uses."""
    declared = [port.container_port for container in containers for port in container.ports or ()]
    return bool(declared) and not any(catalog.uses_port(kind, port) for port in declared)


def _server(started: tuple[str, ...], catalog: Catalog) -> str | None:
    """Return the kind whose server is among the programs, or None."""
    return next((kind for program in started if (kind := catalog.of_server(program))), None)


def _run_by(container: Container, started: tuple[str, ...], catalog: Catalog) -> str | None:
    if not container.command and not container.args:
        return catalog.of_image(container.image or "")
    if kind := _server(started, catalog):
        return kind
    only_tools = bool(container.command) and any(catalog.of_client(program) for program in started)
    idle = first_of(started) in _IDLE
    return None if only_tools or idle else catalog.of_image(container.image or "")


def _behind_services(
    pod: Pod, containers: list[Container], services: Services, catalog: Catalog, budget: Budget
) -> Iterator[str]:
    declared = {port.container_port: port.name for container in containers for port in container.ports or ()}
    numbers = {name: number for number, name in declared.items() if name}
    for number, name in declared.items():
        if (kind := catalog.of_port(number)) and name and catalog.named(words(name)) == kind:
            yield kind
    budget.spend(len(containers) + len(declared) // 16 + len(services) // 64)
    for service in services.selecting(pod.labels):
        budget.spend(1 + service.extent)
        for port in service.ports:
            kind = catalog.of_port(port.leads_to(numbers)) or catalog.of_port(port.number)
            if kind and port.name not in _ASIDE_PORTS - {"http"}:
                yield kind
