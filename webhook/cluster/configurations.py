"""Read and write the caBundle of the managed webhook configurations.

Only entries that call the webhook's Service are read, and only their caBundle is ever written.
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


class _ServiceReference(Struct):
    namespace: str = ""
    name: str = ""


class _ClientConfig(Struct, rename="camel"):
    service: _ServiceReference | None = None
    ca_bundle: bytes = b""


class _Webhook(Struct, rename="camel"):
    client_config: _ClientConfig = msgspec.field(default_factory=_ClientConfig)


class _ConfigurationMeta(Struct, rename="camel"):
    resource_version: str = ""


class _ConfigurationObject(Struct):
    metadata: _ConfigurationMeta
    webhooks: list[_Webhook] | None = None


@dataclass(frozen=True, slots=True)
class WebhookConfiguration:
    """A webhook configuration, as read; `problem` is set if reading failed.

    Attributes:
        client: The API client.
        path: Its path in the API.
        name: Kind and name, for example "MutatingWebhookConfiguration 0-sidecar-policy".
        entries: The bundle of each entry that calls the webhook's Service, by the entry's index.
        version: The resource version.
        problem: Why it could not be read, or has no entry that calls the webhook's Service; empty if neither.
    """

    client: Client = field(repr=False)
    path: str
    name: str
    entries: dict[int, bytes] = field(default_factory=dict)
    version: str = ""
    problem: str = ""

    @property
    def bundles(self) -> Sequence[bytes]:
        """The caBundle of each entry that calls the webhook's Service, decoded."""
        return tuple(self.entries.values())

    async def install(self, bundle: bytes) -> str:
        """Write the bundle to these entries unless the configuration has changed since it was read.

        Args:
            bundle: Certificates in PEM.

        Returns:
            Why the write failed; empty if it succeeded, or if the configuration has changed since.
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
    """The webhook configurations, of both kinds, with the given names.

    Attributes:
        resources: Resources for watches of these objects only.
    """

    def __init__(self, client: Client, names: Sequence[str], service: tuple[str, str]) -> None:
        """Prepare.

        Args:
            client: The API client.
            names: Names of the managed configurations; each may exist in both kinds, in one, or in none.
            service: Namespace and name of the webhook's Service.
        """
        self._client = client
        self._service = service
        self._names = [(kind, f"{_GROUP}/{plural}", name) for name in names for kind, plural in KINDS.items()]
        self.resources = [Resource(kind, path, f"metadata.name={name}") for kind, path, name in self._names]

    async def read(self) -> Sequence[WebhookConfiguration]:
        """Return all that exist, and those whose existence could not be determined."""
        found = [await self._read(kind, f"{path}/{name}", name) for kind, path, name in self._names]
        return [configuration for configuration in found if configuration is not None]

    async def _read(self, kind: str, path: str, name: str) -> WebhookConfiguration | None:
        title = f"{kind} {name}"
        try:
            answer = await self._client.get(path, seconds=10.0)
            read = msgspec.json.decode(answer, type=_ConfigurationObject)
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
