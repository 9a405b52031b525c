"""Our own webhook configurations: which bundle each of their entries trusts, and how it gets there.

Only entries that call our Service are looked at, and only their caBundle is ever written.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.reflector import Resource

KINDS: Final = {
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
}
_GROUP = "/apis/admissionregistration.k8s.io/v1"


class _Service(Struct):
    namespace: str = ""
    name: str = ""


class _ClientConfig(Struct, rename="camel"):
    service: _Service | None = None
    ca_bundle: bytes = b""


class _Webhook(Struct, rename="camel"):
    client_config: _ClientConfig = msgspec.field(default_factory=_ClientConfig)


class _Meta(Struct, rename="camel"):
    resource_version: str = ""


class _Object(Struct):
    metadata: _Meta
    webhooks: list[_Webhook] | None = None


@dataclass(frozen=True, slots=True)
class WebhookConfiguration:
    """A webhook configuration as it was read or could not be.

    Attributes:
        name: Kind and name, as "MutatingWebhookConfiguration 0-sidecar-policy".
        entries: The bundle of each entry that calls our Service, by the entry's index.
        version: The resource version.
        problem: Why it could not be read, or is of no use; empty when all is well.
    """

    client: Client = field(repr=False)
    path: str
    name: str
    entries: dict[int, bytes] = field(default_factory=dict)
    version: str = ""
    problem: str = ""

    @property
    def bundles(self) -> Sequence[bytes]:
        """The caBundle of each entry that calls our Service, decoded."""
        return tuple(self.entries.values())

    async def install(self, bundle: bytes) -> str:
        """Put the bundle into these entries if the configuration is still as it was read.

        Args:
            bundle: Certificates in PEM.

        Returns:
            Why it could not be written. Empty when it was, or when the configuration has been changed meanwhile.
        """
        encoded = b64encode(bundle).decode()
        operations = [{"op": "replace", "path": "/metadata/resourceVersion", "value": self.version}]
        operations += [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": encoded}
            for index, held in self.entries.items()
            if held != bundle
        ]
        try:
            await self.client.patch(self.path, operations)
        except ClusterError as error:
            if error.status not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                return f"{self.name}: {error}"
        return ""


class WebhookConfigurations:
    """The webhook configurations, of both kinds, that go by some names.

    Attributes:
        resources: What watches of them alone follow.
    """

    def __init__(self, client: Client, names: Sequence[str], service: tuple[str, str]) -> None:
        """Prepare.

        Args:
            client: Reaches the cluster.
            names: Of configurations of ours; each kind may have one of each name, or none.
            service: Namespace and name of the Service that we are behind.
        """
        self._client = client
        self._service = service
        self._names = [(kind, f"{_GROUP}/{plural}", name) for name in names for kind, plural in KINDS.items()]
        self.resources = [Resource(kind, path, f"metadata.name={name}") for kind, path, name in self._names]

    async def read(self) -> Sequence[WebhookConfiguration]:
        """All that there are, and those of which it cannot be told."""
        found = [await self._read(kind, f"{path}/{name}", name) for kind, path, name in self._names]
        return [one for one in found if one is not None]

    async def _read(self, kind: str, path: str, name: str) -> WebhookConfiguration | None:
        title = f"{kind} {name}"
        try:
            answer = await self._client.get(path, seconds=10.0)
            read = msgspec.json.decode(answer, type=_Object)
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            return WebhookConfiguration(self._client, path, title, problem=f"{title}: {error}")
        except UNREADABLE:
            return WebhookConfiguration(self._client, path, title, problem=f"{title} is invalid: unexpected field type")
        entries = {
            index: webhook.client_config.ca_bundle
            for index, webhook in enumerate(read.webhooks or ())
            if (service := webhook.client_config.service) and (service.namespace, service.name) == self._service
        }
        problem = "" if entries else f"{title} has no webhook that calls Service {'/'.join(self._service)}"
        return WebhookConfiguration(self._client, path, title, entries, read.metadata.resource_version, problem)
