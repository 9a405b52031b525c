"""Detect the backends that a pod talks to: every mention in its configuration, resolved in its cluster context."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from webhook.core.budget import Budget, BudgetExceededError
from webhook.core.decision import Confidence, Dependency, Findings
from webhook.core.facts import owners_of
from webhook.core.surroundings import Surroundings
from webhook.detection.catalog import Catalog
from webhook.detection.infer.reading import Reading
from webhook.detection.infer.serving import Served, served_by
from webhook.detection.resolve.places import Places
from webhook.detection.resolve.sources import Sources
from webhook.kubernetes.pod import Pod

_PAIRED = (
    "db database data store cache queue sql redis mysql mariadb postgres postgresql mongo mongodb rabbitmq memcached "
    "kafka nats".split()
)


def detect(
    pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, budget: Budget | None = None
) -> Findings:
    """Find what a pod talks to and what it serves.

    Args:
        pod: The pod.
        namespace: Where it runs.
        surroundings: Its Services, ConfigMaps and Secrets.
        catalog: The backends to look for.
        budget: The units that it may spend; None is a full one.

    Returns:
        The findings. A kind that the pod serves itself is not among its dependencies, since replicas dial each
        other, unless the pod is a proxy for it. Where the budget is exceeded they contain only that.

    Example:
        detect(pod, "shop", manifests, Catalog.default()).dependencies
    """
    try:
        return _found(pod, namespace, surroundings, catalog, budget or Budget())
    except BudgetExceededError as error:
        return Findings(unknown=(str(error),), cut=True)


def _found(pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, budget: Budget) -> Findings:
    sources = Sources(pod, namespace, surroundings, catalog, budget)
    places = Places(pod, namespace, surroundings)
    served = served_by(pod, namespace, surroundings, catalog, budget)
    found: list[Dependency] = []
    own: list[Dependency] = []
    for configuration in sources.configurations():
        runs = served.by_container.get(configuration.container.name)
        stated = _dialled(Reading(configuration, places, catalog, budget), runs, catalog)
        found += stated
        if places.met_elsewhere:
            own_places = Places(pod, namespace, surroundings, only_own=True)
            stated = _dialled(Reading(configuration, own_places, catalog, budget), runs, catalog)
        own += stated
    if not found or not own:
        paired = tuple(_paired(pod, namespace, surroundings, catalog, budget))
        found, own = found or [*paired], own or [*paired]
    return Findings(
        dependencies=_reported(found, served, catalog),
        serves=served.kinds,
        unknown=sources.unknown,
        own=_reported(own, served, catalog) if places.met_elsewhere else None,
    )


def _dialled(reading: Reading, runs: str | None, catalog: Catalog) -> list[Dependency]:
    return [dependency for dependency in reading.dependencies() if catalog.may_dial(runs, dependency.kind)]


def _reported(found: list[Dependency], served: Served, catalog: Catalog) -> tuple[Dependency, ...]:
    return _merged(
        dependency
        for dependency in found
        if (dependency.kind not in served.kinds or dependency.kind in served.relayed)
        and not catalog.is_server_only(dependency.kind)
    )


def _paired(
    pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, budget: Budget
) -> Iterator[Dependency]:
    """Yield Services named as the workload with "-db" or the like: each is possibly the workload's own backend.

    Only of use where nothing else was found: what is configured is what is used.
    """
    owners = owners_of(pod)
    budget.spend(len(owners))
    paired = {f"{owner.name}-{suffix}": owner.name for owner in owners for suffix in _PAIRED}
    for named in surroundings.services(namespace) if paired else ():
        stem = paired.get(named.name)
        service = None if stem is None else surroundings.service(namespace, named.name)
        if service is None or service.selects(pod.labels):
            continue
        budget.spend(service.extent)
        kinds = {kind for image in service.images if (kind := catalog.of_image(image)) is not None}
        kinds |= {kind for port in service.ports if (kind := catalog.of_port(port.number)) is not None}
        if len(kinds) == 1:
            kind = kinds.pop()
            evidence = f"Service {service.name} is named after {stem} → {kind}"
            yield Dependency(kind, Confidence.POSSIBLE, service.name, catalog.default_port(kind), evidence)


def _merged(found: Iterator[Dependency]) -> tuple[Dependency, ...]:
    """Merge to one dependency per kind, host and port, by confidence; without a host only where no other has one."""
    best: dict[tuple[str, str | None, int | None], Dependency] = {}
    for dependency in sorted(found, key=lambda dependency: -dependency.confidence.rank):
        key = dependency.kind, dependency.host, dependency.port
        surest = best.setdefault(key, dependency)
        if surest.port_elsewhere and not dependency.port_elsewhere:
            best[key] = replace(surest, port_elsewhere=False)
    located = {dependency.kind for dependency in best.values() if dependency.host is not None}
    sure = {dependency.kind for dependency in best.values() if dependency.confidence is not Confidence.POSSIBLE}
    return tuple(
        dependency
        for dependency in best.values()
        if (dependency.host is not None or dependency.kind not in located)
        and (dependency.confidence is not Confidence.POSSIBLE or dependency.kind not in sure)
    )
