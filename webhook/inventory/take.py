"""From an object as plain values to what the store keeps of it."""

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
    """Put what an object says into the store; kinds that say nothing about surroundings are left out.

    Args:
        store: Where it goes.
        document: The object, with its kind.
        secrets: Whether Secrets may be read.

    Raises:
        msgspec.ValidationError: A field has another type than the API gives it.
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
