"""What the client of a backend begins with, and at which port."""

from __future__ import annotations

from webhook.core.values import Form, Mention
from webhook.core.verdict import Wire
from webhook.detection.catalog import Catalog
from webhook.detection.resolve.configuration import Configuration, Entry
from webhook.detection.resolve.places import Place

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def port_of_scheme(scheme: str) -> int | None:
    """Return the port of an HTTP URL without one; None for other schemes."""
    return _PORTS.get(scheme)


def dialled(
    configuration: Configuration, catalog: Catalog, entry: Entry, mention: Mention, kind: str, place: Place
) -> tuple[Wire | None, int | None]:
    """Return what a connection to a backend begins with, and its port; each is None when it is not known.

    Args:
        configuration: The container's configuration.
        catalog: The backends.
        entry: The setting.
        mention: A place that its value names.
        kind: The backend there.
        place: The same place, resolved.
    """
    scheme = mention.scheme if mention.form is Form.URL else ""
    wire = catalog.said(kind, scheme, place.port, mention.tls or configuration.tls_beside(entry.key, kind))
    return wire, place.port or port_of_scheme(scheme) or catalog.default_port(kind, wire)
