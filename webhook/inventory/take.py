"""Put an object of plain values into the store."""

from __future__ import annotations

from typing import Any

import msgspec

from webhook.inventory.objects import (
    DataObject,
    Metadata,
    NamespaceObject,
    ServiceObject,
    contents_of,
    labels_of,
    service_of,
)
from webhook.inventory.store import Store


def take(store: Store, document: dict[str, Any], *, secrets: bool) -> None:
    """Reduce an object and put it into the store; kinds that are not part of the cluster context are ignored.

    Args:
        store: Receives the object.
        document: The object, with its kind.
        secrets: Whether Secrets may be read.

    Raises:
        msgspec.ValidationError: A field has a type that the API does not allow.
    """
    match document.get("kind"):
        case "Namespace":
            found = msgspec.convert(document, NamespaceObject)
            store.put_namespace(found.metadata.name, labels_of(found))
        case "Service":
            service = msgspec.convert(document, ServiceObject)
            store.put_service(service_of(service, _namespace(service.metadata)))
        case "ConfigMap":
            read = msgspec.convert(document, DataObject)
            store.put_config_map(_namespace(read.metadata), read.metadata.name, contents_of(read, secret=False))
        case "Secret" if secrets:
            read = msgspec.convert(document, DataObject)
            store.put_secret(_namespace(read.metadata), read.metadata.name, contents_of(read, secret=True))


def _namespace(metadata: Metadata) -> str:
    return metadata.namespace or "default"
