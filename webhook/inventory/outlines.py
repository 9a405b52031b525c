"""Reduce pod templates to what Services and connections depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from webhook.core.backing import pack
from webhook.inventory.store import PodTemplate
from webhook.kubernetes.pod import Container, ObjectMeta, Pod, PodSpec

MOST_LABELS: Final = 256
"""Labels in a Service's selector or in a pod template: as objects they take twenty times the memory of their text."""
MOST_IMAGES: Final = 256
"""Images of a pod template."""
MOST_CONTAINERS: Final = 64
"""Containers, and init containers, in an outline."""
MOST_PORTS: Final = 100
"""Ports of a container in an outline."""
MOST_ANNOTATIONS: Final = 32
LONGEST_ANNOTATION: Final = 256
"""Annotations in an outline, and the characters of each; of those that decide about sidecars eight times as many."""
MOST_BYTES: Final = 32 * 1024
"""The largest outline."""
# Annotations of these domains decide about sidecars.
_DECIDING = ("istio.io", "sidecar-policy.dev")
# It contains the whole object, with the values of its environment.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def template_of(pod: Pod, uid: str = "") -> PodTemplate:
    """Reduce the pod that a workload would create.

    Args:
        pod: The pod, with its namespace and owner.
        uid: The workload's own uid; empty if it is not known.
    """
    labels = dict(islice(pod.labels.items(), MOST_LABELS))
    images = images_of(pod.spec)[:MOST_IMAGES]
    return PodTemplate(labels, images, uid, _outline(replace(pod.metadata, labels=labels), pod.spec))


def images_of(spec: PodSpec) -> tuple[str, ...]:
    """Return the images of a pod's containers, without init containers, since those do not serve traffic."""
    return tuple(container.image for container in spec.containers or () if container.image)


def _outline(metadata: ObjectMeta, spec: PodSpec) -> bytes:
    given = metadata.annotations or {}
    annotations = dict(_kept(given))
    metadata = replace(metadata, annotations=annotations)
    groups = spec.containers or (), spec.init_containers or ()
    containers, init = map(_without_most_ports, groups)
    cut = len(annotations) < len(given.keys() - {_LAST_APPLIED}) or any(map(_is_cut, groups))
    outline = Pod(
        metadata,
        PodSpec(
            containers=containers,
            init_containers=init or None,
            host_network=spec.host_network,
            service_account_name=spec.service_account_name,
        ),
    )
    packed = pack(outline, cut=cut)
    if len(packed) > MOST_BYTES:
        bare = replace(metadata, labels=None, annotations=None)
        packed = pack(Pod(bare, PodSpec(host_network=spec.host_network)), cut=True)
    return packed


def _kept(annotations: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return those that decide about sidecars, and some of the others."""
    deciding = [item for item in annotations.items() if _decides(item[0])]
    others = [item for item in annotations.items() if not _decides(item[0]) and item[0] != _LAST_APPLIED]
    return [
        *[item for item in deciding if len(item[1]) <= 8 * LONGEST_ANNOTATION][: 8 * MOST_ANNOTATIONS],
        *[item for item in others if len(item[1]) <= LONGEST_ANNOTATION][:MOST_ANNOTATIONS],
    ]


def _decides(annotation: str) -> bool:
    return annotation.partition("/")[0].endswith(_DECIDING)


def _without_most_ports(containers: Sequence[Container]) -> list[Container]:
    return [
        replace(container, ports=container.ports[:MOST_PORTS] if container.ports else None)
        for container in containers[:MOST_CONTAINERS]
    ]


def _is_cut(containers: Sequence[Container]) -> bool:
    too_many_ports = any(len(container.ports or ()) > MOST_PORTS for container in containers)
    return len(containers) > MOST_CONTAINERS or too_many_ports
