"""Pods as the ends of connections: whether they have a sidecar, and what it gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from webhook.core.decision import Decision, Reason
from webhook.core.facts import is_batch
from webhook.kubernetes.pod import Container, Pod, PodSpec
from webhook.mesh.eligibility import AMBIENT, DATAPLANE_MODE, is_istio_name, sidecar_of
from webhook.mesh.party import Party, Plane, interception_of
from webhook.mesh.patch import required_annotations
from webhook.mesh.sidecar import gets_sidecar
from webhook.verdicts.rendering import Rendering

_TLS_MODE = "security.istio.io/tlsMode"
_COMPLETES = frozenset({"Never", "OnFailure"})
_PROXY: Final = 1337
"""User and group of Istio's sidecar."""


def as_decided(name: str, namespace: str, pod: Pod, decision: Decision, rendering: Rendering) -> Party:
    """Return a pod as it would be created now.

    Args:
        name: What creates it, "Deployment/web".
        namespace: Where it would be created.
        pod: The pod as submitted.
        decision: The decision about it.
        rendering: How sidecars are rendered.
    """
    planes, unknown = _planes(name, pod, decision)
    annotations: Mapping[str, str] = pod.annotations
    if decision.is_enforced:
        annotations = {**annotations, **required_annotations(pod, decision)}
    return _party(name, namespace, pod, annotations, planes, unknown, rendering)


def as_running(name: str, namespace: str, pod: Pod, rendering: Rendering, *, ambient: bool) -> Party:
    """Return a pod as it runs.

    Args:
        name: The pod, "Pod/web-1".
        namespace: Its namespace.
        pod: The pod.
        rendering: How sidecars are rendered.
        ambient: Whether its namespace is in ambient mode.
    """
    captured = pod.labels.get(DATAPLANE_MODE, AMBIENT if ambient else "") == AMBIENT
    plane = Plane.AMBIENT if captured and not pod.spec.host_network else Plane.NONE
    plane = Plane.SIDECAR if sidecar_of(pod) is not None else plane
    return _party(name, namespace, pod, pod.annotations, (plane,), "", rendering)


def _planes(name: str, pod: Pod, decision: Decision) -> tuple[tuple[Plane, ...], str]:
    if decision.reason is Reason.UNKNOWN and not decision.findings.cut:
        return (Plane.NONE, Plane.SIDECAR), f"whether {name} is in the mesh: its namespace could not be read"
    if decision.reason is Reason.AMBIENT and not decision.is_enforced:
        outside = pod.spec.host_network or pod.labels.get(DATAPLANE_MODE, AMBIENT) != AMBIENT
        return (Plane.NONE if outside else Plane.AMBIENT,), ""
    return (Plane.SIDECAR if gets_sidecar(pod, decision) else Plane.NONE,), ""


def _party(
    name: str,
    namespace: str,
    pod: Pod,
    annotations: Mapping[str, str],
    planes: tuple[Plane, ...],
    unknown: str,
    rendering: Rendering,
) -> Party:
    sidecar = sidecar_of(pod)
    return Party(
        name=name,
        namespace=namespace,
        labels=pod.labels,
        planes=planes,
        unknown=unknown,
        intercepted=interception_of(annotations),
        native=rendering.is_native(namespace, pod)[0],
        held=rendering.holds(annotations),
        batch=is_batch(pod) or pod.spec.restart_policy in _COMPLETES,
        named_ports=pod.named_ports,
        takes_mtls=pod.labels.get(_TLS_MODE, "istio") == "istio",
        as_proxy=_as_proxy(pod.spec, pod.spec.containers or (), sidecar),
        init_as_proxy=_as_proxy(pod.spec, pod.spec.init_containers or (), sidecar),
    )


def _as_proxy(spec: PodSpec, containers: Iterable[Container], sidecar: Container | None) -> tuple[bool, ...]:
    """Return whether containers run as the sidecar's user or group; both where some do."""
    of_pod = spec.security_context
    found = set()
    for container in containers:
        if container is sidecar or is_istio_name(container.name):
            continue
        own = container.security_context
        user = own.run_as_user if own is not None and own.run_as_user is not None else of_pod and of_pod.run_as_user
        group = own.run_as_group if own is not None and own.run_as_group is not None else of_pod and of_pod.run_as_group
        found.add(_PROXY in {user, group})
    return tuple(sorted(found)) or (False,)
