"""One backend, as the catalog and the policies that extend it describe it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from webhook.core.verdict import Wire


class Backend(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The description of a backend; the fields are explained at the head of catalog.yaml."""

    ports: tuple[int, ...] = ()
    weak_ports: tuple[int, ...] = ()
    schemes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    weak_names: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    dials: tuple[str, ...] | None = None
    http: bool = False
    server_only: bool = False
    peer_ports: tuple[int, ...] = ()
    wire: Wire | None = None
    other_wires: dict[str, tuple[int | str, ...]] = {}
    redirects: dict[str, str] = {}
    tls_begins: Literal["first", "later", "either"] | None = None
