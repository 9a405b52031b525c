"""Decode Kubernetes objects and reduce them to the cluster context that the inventory stores.

This applies to YAML from files and to JSON from an API server alike.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from webhook.core.surroundings import Service, ServicePort
from webhook.core.values import UNREADABLE, Content
from webhook.detection.parse.content import read_content
from webhook.inventory.outlines import MOST_LABELS, template_of
from webhook.inventory.store import PodTemplate
from webhook.kubernetes.pod import ObjectMeta, OwnerReference, Pod, PodSpec

# The path of each workload kind's pod template; a Pod is its own.
POD_PATHS: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}

# Other API groups have kinds of the same names, such as Knative's Service and Volcano's Job.
_GROUPS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(["Pod", "ReplicationController", "Namespace", "Service", "ConfigMap", "Secret"], frozenset({""})),
    **dict.fromkeys(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"], frozenset({"apps", "extensions"})),
    **dict.fromkeys(["Job", "CronJob"], frozenset({"batch"})),
}


def is_kubernetes_own(kind: str, api_version: str) -> bool:
    """Return whether an object is of a kind that is decoded here, in Kubernetes' own API group."""
    group, slash, _ = api_version.partition("/")
    return (group if slash else "") in _GROUPS.get(kind, ())


MOST_CHARACTERS: Final = 1 << 20
"""Characters in all values of a ConfigMap or Secret; the API server accepts no more."""
MOST_SETTINGS: Final = 5_000
"""Settings in all values of a ConfigMap or Secret: some 300 KB of YAML, which take some 6 MB as objects."""
MOST_PORTS: Final = 1_000
"""Ports of a Service."""
EXPORT_TO: Final = "networking.istio.io/exportTo"
WAYPOINT: Final = "istio.io/use-waypoint"
_NOT_READ = Content(UNREADABLE, cut=True)


class Metadata(Struct, frozen=True):
    """The metadata of any object."""

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    labels: dict[str, str] | None = None


class ServiceMetadata(Metadata, frozen=True, rename="camel"):
    """The metadata of a Service."""

    annotations: dict[str, str] | None = None
    creation_timestamp: str | None = None


_Port = Annotated[int, Meta(ge=0, le=65535)]


class ServicePortObject(Struct, frozen=True, rename="camel"):
    """One entry of a Service's spec.ports."""

    port: _Port = 0
    name: str | None = None
    target_port: _Port | str | None = None
    app_protocol: str | None = None
    protocol: str | None = None


class ServiceSpec(Struct, frozen=True, rename="camel"):
    """A Service's spec."""

    ports: list[ServicePortObject] | None = None
    selector: dict[str, str] | None = None
    type: str | None = None
    external_name: str | None = None
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = field(name="clusterIPs", default=None)


class ServiceObject(Struct, frozen=True):
    """A Service."""

    metadata: ServiceMetadata
    spec: ServiceSpec = ServiceSpec()


class DataObject(Struct, frozen=True, rename="camel"):
    """A ConfigMap or a Secret; binaryData contains no readable configuration."""

    metadata: Metadata
    data: dict[str, str | None] | None = None
    string_data: dict[str, str | None] | None = None


class NamespaceObject(Struct, frozen=True):
    """A Namespace."""

    metadata: Metadata


class TemplateObject(Struct, frozen=True):
    """A pod template."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class TemplatedSpec(Struct, frozen=True):
    """The spec of a Deployment, StatefulSet or DaemonSet."""

    template: TemplateObject = TemplateObject()


class TemplatedObject(Struct, frozen=True):
    """A Deployment, StatefulSet or DaemonSet."""

    metadata: Metadata
    spec: TemplatedSpec = TemplatedSpec()


def labels_of(read: NamespaceObject) -> dict[str, str]:
    """Return a namespace's labels, with kubernetes.io/metadata.name, which the API server adds to every namespace."""
    return (read.metadata.labels or {}) | {"kubernetes.io/metadata.name": read.metadata.name}


def service_of(read: ServiceObject, namespace: str) -> Service:
    """Return a Service, without images; a selector of more than `MOST_LABELS` labels selects nothing."""
    selector = read.spec.selector
    return Service(
        namespace=namespace,
        name=read.metadata.name,
        ports=tuple(
            ServicePort(port.port, port.name, port.target_port, port.app_protocol, port.protocol or "TCP")
            for port in (read.spec.ports or ())[:MOST_PORTS]
        ),
        selector=None if selector and len(selector) > MOST_LABELS else selector,
        external_name=read.spec.external_name if read.spec.type == "ExternalName" else None,
        headless=read.spec.cluster_ip == "None",
        exposed=read.spec.type in {"NodePort", "LoadBalancer"},
        created=read.metadata.creation_timestamp or "",
        export_to=_export_to(read.metadata.annotations or {}),
        waypoint=(read.metadata.labels or {}).get(WAYPOINT),
        addresses=_addresses(read.spec),
    )


def _addresses(spec: ServiceSpec) -> tuple[str, ...]:
    """Return the cluster IPs of a Service, at most one of each family."""
    listed = spec.cluster_ips or ([] if spec.cluster_ip is None else [spec.cluster_ip])
    return tuple(address for address in listed[:2] if address not in {"", "None"})


def _export_to(annotations: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the namespaces that Istio's annotation lists; only the first of very many."""
    text = annotations.get(EXPORT_TO)
    return None if text is None else tuple(item.strip() for item in text[:4096].split(","))


def created_by(kind: str, read: TemplatedObject) -> PodTemplate:
    """Return the pod template of a Deployment, StatefulSet or DaemonSet."""
    owner, template = read.metadata, read.spec.template
    metadata = replace(
        template.metadata,
        name=None,
        namespace=owner.namespace,
        generate_name=f"{owner.name}-",
        owner_references=[OwnerReference(kind, owner.name)],
    )
    return template_of(Pod(metadata, template.spec), owner.uid)


def contents_of(read: DataObject, *, secret: bool) -> dict[str, Content]:
    """Parse each value of a ConfigMap or Secret; the values themselves do not leave this function.

    An object has a budget of `MOST_CHARACTERS` and `MOST_SETTINGS`; its shortest values are parsed first. Content that
    exceeds the budget is marked as cut, or as unreadable if none of it was parsed.

    Args:
        read: The object.
        secret: Whether `data` is base64-encoded, as in a Secret.

    Returns:
        The parsed content by key.
    """
    texts = {key: (text or "", secret) for key, text in (read.data or {}).items()}
    texts |= {key: (text or "", False) for key, text in (read.string_data or {}).items()}
    characters, settings = MOST_CHARACTERS, MOST_SETTINGS
    contents = dict.fromkeys(texts, _NOT_READ)
    for key in sorted(texts, key=lambda key: len(texts[key][0])):
        text, encoded = texts[key]
        if characters <= 0 or settings <= 0:
            break
        whole = _decoded(text) if encoded else text
        content = read_content(key, whole[:characters])
        if len(content.lines) > settings or len(whole) > characters:
            content = Content(content.value, content.lines[:settings], cut=True)
        contents[key] = content
        characters -= len(whole)
        settings -= 1 + len(content.lines)
    return contents


def _decoded(text: str) -> str:
    """Return a Secret's value as text; empty if it is not UTF-8."""
    try:
        return base64.b64decode(text, validate=False).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
