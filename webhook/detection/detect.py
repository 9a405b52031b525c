"""Detect the backends that a pod talks to: every mention in its configuration, resolved in its cluster context."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from webhook.core.budget import Budget, BudgetExceededError
from webhook.core.decision import Call, Confidence, Dependency, Findings
from webhook.core.facts import owners_of
from webhook.core.surroundings import Surroundings
from webhook.core.verdict import Wire
from webhook.detection.catalog import Catalog
from webhook.detection.infer.calls import as_call, merged
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
    completing = {init.name for init in pod.spec.init_containers or () if init.restart_policy != "Always"}
    found: list[Dependency] = []
    own: list[Dependency] = []
    calls: list[Call] = []
    for configuration in sources.configurations():
        name = configuration.container.name
        runs, init = served.by_container.get(name), name in completing
        stated = []
        for connection in Reading(configuration, places, catalog, budget).connections():
            connected = replace(connection, init=True) if init else connection
            if isinstance(connected, Call):
                calls.append(connected)
            elif catalog.may_dial(runs, connected.kind):
                stated.append(connected)
        found += stated
        if places.met_elsewhere:
            own_places = Places(pod, namespace, surroundings, only_own=True)
            stated = [
                replace(connection, init=init)
                for connection in Reading(configuration, own_places, catalog, budget).connections()
                if isinstance(connection, Dependency) and catalog.may_dial(runs, connection.kind)
            ]
        own += stated
    if not found or not own:
        paired = tuple(_paired(pod, namespace, surroundings, catalog, budget))
        found, own = found or [*paired], own or [*paired]
    dependencies, others = _reported(found, served, catalog)
    return Findings(
        dependencies=dependencies,
        serves=served.kinds,
        unknown=sources.unknown,
        own=_reported(own, served, catalog)[0] if places.met_elsewhere else None,
        calls=merged(calls + others, dependencies),
    )


def _reported(found: list[Dependency], served: Served, catalog: Catalog) -> tuple[tuple[Dependency, ...], list[Call]]:
    """Return the dependencies to report, and the other connections to backends."""
    reported: list[Dependency] = []
    others: list[Call] = []
    for dependency in found:
        serves = dependency.kind in served.kinds and dependency.kind not in served.relayed
        if not serves and not catalog.is_server_only(dependency.kind):
            reported.append(dependency)
        elif (call := as_call(dependency)) is not None:
            others.append(call)
    return _merged(reported), others


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
            port, place = catalog.default_port(kind), (service.namespace, service.name)
            wire = catalog.said(kind, "", port, None)
            yield Dependency(kind, Confidence.POSSIBLE, service.name, port, evidence, wire=wire, service=place)


def _merged(found: list[Dependency]) -> tuple[Dependency, ...]:
    """Merge to one dependency per kind, host, port and wire, by confidence.

    One without a host counts only where no other has one. One whose wire is not known is the same as one whose is.
    """
    if len(found) < 2:
        return tuple(found)
    best: dict[tuple[str, str | None, int | None, Wire | None], Dependency] = {}
    found.sort(key=lambda dependency: -dependency.confidence.rank)
    spoken = {_place(dependency): dependency.wire for dependency in reversed(found) if dependency.wire is not None}
    for dependency in found:
        place = _place(dependency)
        wire = dependency.wire or spoken.get(place)
        surest = best.setdefault((*place, wire), dependency)
        if surest is dependency and dependency.wire is wire:
            continue
        elsewhere, init = surest.port_elsewhere and dependency.port_elsewhere, surest.init and dependency.init
        if (surest.wire, surest.port_elsewhere, surest.init) != (wire, elsewhere, init):
            best[*place, wire] = replace(surest, port_elsewhere=elsewhere, wire=wire, init=init)
    located = {dependency.kind for dependency in best.values() if dependency.host is not None}
    sure = {dependency.kind for dependency in best.values() if dependency.confidence is not Confidence.POSSIBLE}
    return tuple(
        dependency
        for dependency in best.values()
        if (dependency.host is not None or dependency.kind not in located)
        and (dependency.confidence is not Confidence.POSSIBLE or dependency.kind not in sure)
    )


def _place(dependency: Dependency) -> tuple[str, str | None, int | None]:
    return dependency.kind, dependency.host, dependency.port
