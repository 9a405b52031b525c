"""The kinds of backend that a pod is itself a server of."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.core.facts import owners_of
from webhook.core.mesh import is_istio_container
from webhook.core.pod import Container, Pod
from webhook.core.surroundings import ServicePort, Surroundings
from webhook.detection.catalog import Catalog
from webhook.detection.commands import programs
from webhook.detection.words import words

_BATCH = frozenset({"Job", "CronJob"})
_ASIDE_PORTS = frozenset({"metrics", "exporter", "http", "https", "web", "ui"})


def served_kinds(pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog) -> tuple[str, ...]:
    """The kinds that the pod serves, sorted.

    A server image or program is evidence, unless the pod is a Job or only runs the image's client tools. So is a
    well-known port that the pod exposes, when a Service that selects the pod has it too or the port's name agrees.
    """
    if any(owner.kind in _BATCH for owner in owners_of(pod)):
        return ()
    containers = [container for container in pod.spec.containers or () if not is_istio_container(container)]
    found = {kind for container in containers if (kind := _run_by(container, catalog)) is not None}
    found.update(_behind_services(pod, containers, namespace, surroundings, catalog))
    return tuple(sorted(found))


def _run_by(container: Container, catalog: Catalog) -> str | None:
    started = programs([*(container.command or ()), *(container.args or ())])
    for program in started:
        if kind := catalog.of_server(program):
            return kind
    kind = catalog.of_image(container.image or "")
    only_tools = bool(container.command) and any(catalog.of_client(program) for program in started)
    return None if only_tools else kind


def _behind_services(
    pod: Pod, containers: list[Container], namespace: str, surroundings: Surroundings, catalog: Catalog
) -> Iterator[str]:
    declared = {port.container_port: port.name for container in containers for port in container.ports or ()}
    numbers = {name: number for number, name in declared.items() if name}
    for number, name in declared.items():
        if (kind := catalog.of_port(number)) and name and catalog.named(words(name)) == kind:
            yield kind
    for service in surroundings.services(namespace):
        if not service.selects(pod.labels):
            continue
        for port in service.ports:
            kind = catalog.of_port(_target(port, numbers)) or catalog.of_port(port.number)
            if kind and port.name not in _ASIDE_PORTS - {"http"}:
                yield kind


def _target(port: ServicePort, numbers: dict[str, int]) -> int | None:
    if isinstance(port.target, str):
        return numbers.get(port.target)
    return port.target or port.number
