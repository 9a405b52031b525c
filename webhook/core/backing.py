"""The workloads behind a Service, as far as it decides what becomes of connections to their pods."""

from __future__ import annotations

from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from webhook.kubernetes.pod import Container, ContainerPort, ObjectMeta, OwnerReference, Pod, PodSpec

DECODED: Final = 2048
"""Outlines that stay decoded, of some 2 KB each."""


class Backing(Struct, frozen=True, gc=False):
    """A workload that a Service selects.

    Attributes:
        kind: "Deployment", "CronJob", "Pod", …
        namespace: Its namespace.
        name: Its name.
        packed: Its pods, see `pack`.
    """

    kind: str
    namespace: str
    name: str
    packed: bytes

    @property
    def outline(self) -> Pod:
        """The pod that it creates: metadata, ports and images, without environment, arguments, commands, volumes."""
        return _unpacked(self.packed)[0]

    @property
    def cut(self) -> bool:
        """Whether the outline lacks annotations or containers, because there are very many."""
        return _unpacked(self.packed)[1]


class Backings(tuple[Backing, ...]):  # noqa: SLOT001 - it caches its digest
    """All workloads behind a Service."""

    @cached_property
    def digest(self) -> bytes:
        """The same of those that are equal, and of no others."""
        return sha256(_ENCODER.encode(tuple(self))).digest()


class _Container(Struct, frozen=True, gc=False, array_like=True):
    name: str
    image: str | None
    restart_policy: str | None
    ports: tuple[tuple[int, str | None], ...]


class _Outline(Struct, frozen=True, gc=False, array_like=True):
    labels: dict[str, str]
    annotations: dict[str, str]
    namespace: str | None
    name: str | None
    generate_name: str | None
    owners: tuple[tuple[str, str, str, str, bool | None], ...]
    host_network: bool | None
    service_account: str | None
    init: tuple[_Container, ...]
    containers: tuple[_Container, ...]
    cut: bool


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Outline)


def pack(pod: Pod, *, cut: bool = False) -> bytes:
    """Return the outline of a pod in a few hundred bytes; no value of its environment, arguments and commands.

    Args:
        pod: The pod.
        cut: Whether annotations or containers are missing in it.
    """
    meta, spec = pod.metadata, pod.spec
    owners = (
        (owner.kind, owner.name, owner.api_version, owner.uid, owner.controller)
        for owner in meta.owner_references or ()
    )
    return _ENCODER.encode(
        _Outline(
            pod.labels,
            pod.annotations,
            meta.namespace,
            meta.name,
            meta.generate_name,
            tuple(owners),
            spec.host_network,
            spec.service_account_name,
            tuple(map(_packed, spec.init_containers or ())),
            tuple(map(_packed, spec.containers or ())),
            cut,
        )
    )


def _packed(container: Container) -> _Container:
    ports = tuple((port.container_port, port.name) for port in container.ports or ())
    return _Container(container.name, container.image, container.restart_policy, ports)


@lru_cache(DECODED)
def _unpacked(packed: bytes) -> tuple[Pod, bool]:
    read = _DECODER.decode(packed)
    meta = ObjectMeta(
        read.name,
        read.generate_name,
        read.namespace,
        read.labels,
        read.annotations,
        [OwnerReference(*owner) for owner in read.owners],
    )
    spec = PodSpec(
        containers=[_container(container) for container in read.containers],
        init_containers=[_container(container) for container in read.init] or None,
        host_network=read.host_network,
        service_account_name=read.service_account,
    )
    return Pod(meta, spec), read.cut


def _container(read: _Container) -> Container:
    ports = [ContainerPort(number, name) for number, name in read.ports]
    return Container(read.name, read.image, ports=ports or None, restart_policy=read.restart_policy)
