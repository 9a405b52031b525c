"""Read one Secret without a cache, and write it with optimistic concurrency."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.reflector import Resource


class _SecretMeta(Struct, rename="camel"):
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _SecretObject(Struct):
    metadata: _SecretMeta
    # msgspec decodes base64 for fields of type bytes.
    data: dict[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A Secret as read from the API server.

    Attributes:
        version: Its resource version.
        labels: Its labels.
        annotations: Its annotations.
        data: Its data, base64-decoded. Excluded from the repr.
    """

    version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    data: Mapping[str, bytes] = field(repr=False)


class Secret:
    """Access to one Secret. Every method raises ClusterError if its request fails.

    Attributes:
        place: "namespace/name".
        resource: The resource for a watch of this Secret only.
    """

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self.place = f"{namespace}/{name}"
        self.resource = Resource("Secret", f"/api/v1/namespaces/{namespace}/secrets", f"metadata.name={name}")
        self._client = client
        self._name = name

    async def read(self) -> StoredSecret | None:
        """Return the Secret from etcd (a get without a resource version bypasses caches), or None if it is missing."""
        try:
            answer = await self._client.get(self._path, seconds=10.0)
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        try:
            read = msgspec.json.decode(answer, type=_SecretObject)
        except UNREADABLE:
            raise ClusterError(f"Secret {self.place} is invalid: unexpected field type") from None
        meta = read.metadata
        return StoredSecret(meta.resource_version, meta.labels or {}, meta.annotations or {}, read.data or {})

    async def create(
        self, kind: str, labels: Mapping[str, str], annotations: Mapping[str, str], data: Mapping[str, bytes]
    ) -> bool:
        """Create the Secret.

        Args:
            kind: The Secret's type.
            labels: Its labels.
            annotations: Its annotations.
            data: Its data, not base64-encoded.

        Returns:
            False if it exists already.
        """
        document: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._name, "labels": dict(labels), "annotations": dict(annotations)},
            "type": kind,
            "data": _encoded(data),
        }
        return await _unless_conflict(self._client.post(self.resource.path, document))

    async def change(
        self, version: str, annotations: Mapping[str, str | None], data: Mapping[str, bytes | None]
    ) -> bool:
        """Change the given annotations and keys only.

        Args:
            version: The resource version that the Secret must have.
            annotations: New values; None removes an annotation.
            data: New values, not base64-encoded; None removes a key.

        Returns:
            False if the Secret has another version, or was deleted.
        """
        metadata = {"resourceVersion": version, "annotations": dict(annotations)}
        document = {"metadata": metadata, "data": _encoded(data)}
        return await _unless_conflict(self._client.merge(self._path, document))

    @property
    def _path(self) -> str:
        return f"{self.resource.path}/{self._name}"


def _encoded(data: Mapping[str, bytes | None]) -> dict[str, str | None]:
    return {name: None if value is None else b64encode(value).decode() for name, value in data.items()}


async def _unless_conflict(sending: Awaitable[bytes]) -> bool:
    try:
        await sending
    except ClusterError as error:
        if error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
            return False
        raise
    return True
