"""The part of a Pod that decisions read.

Only fields that are read somewhere are declared, which makes decoding a large pod cheap: msgspec skips the rest.
Every field that the API allows to be absent or null may be either here. The types are otherwise strict: a number where
the API requires a string is an error that contains the path, as from the API server. Source: Kubernetes core/v1 Pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct, field

from webhook.kubernetes.user import SecurityContext

# The ServiceAccount admission plugin adds this volume to nearly every pod, each time with another suffix.
_TOKEN = re.compile("kube-api-access-[a-z0-9]+")
_AUTHORITY = "kube-root-ca.crt"


class OwnerReference(Struct, frozen=True, rename="camel"):
    """One entry of metadata.ownerReferences; `controller` marks the one that manages the pod."""

    kind: str = ""
    name: str = ""
    api_version: str = ""
    uid: str = ""
    controller: bool | None = None


class ObjectMeta(Struct, frozen=True, rename="camel"):
    """The metadata that decisions read. In an admission request `name` is often not set yet."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class KeyReference(Struct, frozen=True, omit_defaults=True, gc=False):
    """A configMapKeyRef or secretKeyRef: one key of one object."""

    name: str = ""
    key: str = ""
    optional: bool | None = None


class FieldReference(Struct, frozen=True, gc=False, rename="camel"):
    """A fieldRef: a field of the pod itself, such as `metadata.namespace` or `metadata.labels['app']`."""

    field_path: str = ""


class ResourceReference(Struct, frozen=True, gc=False):
    """A resourceFieldRef: an amount of CPU or memory; its fields are not needed."""


class EnvVarSource(Struct, frozen=True, omit_defaults=True, gc=False, rename="camel"):
    """The source of an environment variable's value. Any other source, such as a fileKeyRef, is not supported."""

    config_map_key_ref: KeyReference | None = None
    secret_key_ref: KeyReference | None = None
    field_ref: FieldReference | None = None
    resource_field_ref: ResourceReference | None = None


class EnvVar(Struct, frozen=True, omit_defaults=True, gc=False, rename="camel"):
    """One environment variable of a container. The API server omits an empty `value`."""

    name: str = ""
    value: str | None = None
    value_from: EnvVarSource | None = None


class ObjectReference(Struct, frozen=True):
    """A reference to a whole ConfigMap or Secret."""

    name: str = ""
    optional: bool | None = None


class EnvFromSource(Struct, frozen=True, rename="camel"):
    """All keys of a ConfigMap or Secret as environment variables, each with `prefix` before it."""

    prefix: str | None = None
    config_map_ref: ObjectReference | None = None
    secret_ref: ObjectReference | None = None


class VolumeMount(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Where a volume is mounted in a container.

    `sub_path` selects one file or folder of it; so does `sub_path_expr`, with $(NAME) references to the environment.
    """

    name: str = ""
    mount_path: str = ""
    sub_path: str | None = None
    sub_path_expr: str | None = None


class ContainerPort(Struct, frozen=True, rename="camel"):
    """A port that the container declares."""

    container_port: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    name: str | None = None


class ExecAction(Struct, frozen=True):
    """A command that the kubelet runs inside the container."""

    command: list[str] | None = None


class Handler(Struct, frozen=True):
    """A probe or a lifecycle hook; only its exec action is read."""

    exec: ExecAction | None = None


class Lifecycle(Struct, frozen=True, rename="camel"):
    """The hooks that run after a container starts and before it is terminated."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None


class Container(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A container or init container. An init container with restart_policy Always is a native sidecar."""

    name: str = ""
    image: str | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    env_from: list[EnvFromSource] | None = None
    ports: list[ContainerPort] | None = None
    volume_mounts: list[VolumeMount] | None = None
    restart_policy: str | None = None
    liveness_probe: Handler | None = None
    readiness_probe: Handler | None = None
    startup_probe: Handler | None = None
    lifecycle: Lifecycle | None = None
    security_context: SecurityContext | None = None

    def probes(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the commands of its probes, each with the field that contains it."""
        if self.liveness_probe is None and self.readiness_probe is None and self.startup_probe is None:
            return
        yield from _commands(("livenessProbe", self.liveness_probe), ("readinessProbe", self.readiness_probe))
        yield from _commands(("startupProbe", self.startup_probe))

    def hooks(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the commands of its lifecycle hooks, each with the field that contains it."""
        if self.lifecycle is not None:
            yield from _commands(("postStart", self.lifecycle.post_start), ("preStop", self.lifecycle.pre_stop))


def _commands(*handlers: tuple[str, Handler | None]) -> Iterator[tuple[str, list[str]]]:
    for where, handler in handlers:
        if handler is not None and handler.exec is not None and handler.exec.command:
            yield where, handler.exec.command


class KeyToPath(Struct, frozen=True):
    """One entry of a volume's `items`: the key, and the file that it is projected to."""

    key: str = ""
    path: str = ""


class ConfigMapVolume(Struct, frozen=True):
    """A ConfigMap as a volume, or as one source of a projected volume."""

    name: str = ""
    items: list[KeyToPath] | None = None
    optional: bool | None = None


class SecretVolume(Struct, frozen=True, rename="camel"):
    """A Secret as a volume: only here the name's field is `secretName`."""

    secret_name: str = ""
    items: list[KeyToPath] | None = None
    optional: bool | None = None


class ProjectedFile(Struct, frozen=True):
    """A file of a projected volume without configuration: a token, a certificate, a field of the pod."""

    path: str = ""


class ProjectedFiles(Struct, frozen=True):
    """A projected downwardAPI source: fields of the pod, each as a file."""

    items: list[ProjectedFile] | None = None


class ProjectedSource(Struct, frozen=True, rename="camel"):
    """One source of a projected volume. A projected Secret's name is in `name`, like a ConfigMap's."""

    config_map: ConfigMapVolume | None = None
    secret: ConfigMapVolume | None = None
    downward_api: ProjectedFiles | None = field(name="downwardAPI", default=None)
    service_account_token: ProjectedFile | None = None
    cluster_trust_bundle: ProjectedFile | None = None


class ProjectedVolume(Struct, frozen=True):
    """Several sources in one volume."""

    sources: list[ProjectedSource] | None = None


class Volume(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A volume; the kinds without configuration are not decoded."""

    name: str = ""
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    projected: ProjectedVolume | None = None

    @property
    def holds_configuration(self) -> bool:
        """Whether it contains files of ConfigMaps or Secrets, other than the service account token volume."""
        if self.projected is None:
            return self.config_map is not None or self.secret is not None
        return not self.is_token

    @property
    def is_token(self) -> bool:
        """Whether it is the service account token volume that Kubernetes adds, which is irrelevant to detection."""
        if self.projected is None or _TOKEN.fullmatch(self.name) is None:
            return False
        return all(
            source.secret is None and (source.config_map is None or source.config_map.name == _AUTHORITY)
            for source in self.projected.sources or ()
        )


class HostAlias(Struct, frozen=True):
    """Host names that the pod's /etc/hosts maps to an address."""

    ip: str = ""
    hostnames: list[str] | None = None


class DnsConfig(Struct, frozen=True):
    """The pod's dnsConfig: additional search domains."""

    searches: list[str] | None = None


class PodSpec(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The part of spec that decisions read."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    host_network: bool | None = None
    service_account_name: str | None = None
    host_aliases: list[HostAlias] | None = None
    dns_config: DnsConfig | None = None
    enable_service_links: bool | None = None
    restart_policy: str | None = None
    security_context: SecurityContext | None = None


class Pod(Struct, frozen=True):
    """A Pod, or a workload's pod template with its owner filled in."""

    metadata: ObjectMeta
    spec: PodSpec

    @property
    def labels(self) -> dict[str, str]:
        """The labels; empty if there are none."""
        return self.metadata.labels or {}

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations; empty if there are none."""
        return self.metadata.annotations or {}

    @property
    def named_ports(self) -> dict[str, int]:
        """The port numbers of the containers' named ports, by name."""
        declared = (port for container in self.spec.containers or () for port in container.ports or ())
        return {port.name: port.container_port for port in declared if port.name}

    def containers(self) -> Iterator[Container]:
        """Yield every container, init containers first; ephemeral containers are not included."""
        yield from self.spec.init_containers or ()
        yield from self.spec.containers or ()
