"""The catalog of backends: the content of catalog.yaml, indexed for the lookups of detection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import TypeVar

import msgspec
import yaml
from msgspec import Struct

from webhook.core.values import Tls
from webhook.core.verdict import Wire
from webhook.detection.backend import Backend
from webhook.detection.wires import Wires
from webhook.detection.words import words
from webhook.kubernetes.yaml_values import FastLoader

_Key = TypeVar("_Key", int, str)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    kinds: dict[str, Backend]
    consoles: tuple[int, ...]
    relays: tuple[str, ...]


# After a backend's name these words mean something next to it: a console, an exporter, a registry.
_BESIDE = frozenset(
    "exporter exporters ui gui console dashboard dashboards management mgmt manager admin commander insight express "
    "metrics registry operator monitoring monitor prometheus apm explorer browser kibana webui".split()
)
# The same for backends that do not speak HTTP themselves.
_BESIDE_OVER_HTTP = frozenset("rest connect http web api".split())


class Catalog:
    """The backends that detection looks for, indexed.

    Attributes:
        backends: Each kind's description.
        kinds: The names of all kinds.
    """

    def __init__(
        self, backends: Mapping[str, Backend], consoles: Iterable[int] = (), relays: Iterable[str] = ()
    ) -> None:
        self.backends = dict(backends)
        self.kinds = frozenset(backends)
        self._consoles = frozenset(consoles)
        self._relays = frozenset(relays)
        self._by_scheme = _index((kind, backend.schemes) for kind, backend in backends.items())
        self._by_port = _index((kind, backend.ports) for kind, backend in backends.items())
        programs = _index(
            (kind, ("".join(words(name)) for name in backend.clients)) for kind, backend in backends.items()
        )
        self._by_name = programs | _index((kind, backend.names) for kind, backend in backends.items())
        self._by_weak_name = _index((kind, backend.weak_names) for kind, backend in backends.items())
        self._by_image = _index((kind, (*backend.images, *backend.proxies)) for kind, backend in backends.items())
        self._by_proxy = _index((kind, backend.proxies) for kind, backend in backends.items())
        self._by_server = _index((kind, (*backend.servers, *backend.proxies)) for kind, backend in backends.items())
        self._by_client = _index((kind, backend.clients) for kind, backend in backends.items())
        self._wires = {kind: Wires.of(backend) for kind, backend in backends.items()}
        phrases = _index((kind, backend.keys) for kind, backend in backends.items())
        self._by_phrase = {tuple(phrase.split()): kind for phrase, kind in phrases.items()}

    @classmethod
    def default(cls) -> Catalog:
        """Return the catalog shipped in the package."""
        return _packaged()

    def with_backends(self, own: Mapping[str, Backend]) -> Catalog:
        """Return a catalog with these backends added, or replacing those of the same kind.

        What one of them claims (a port, a name, an image), no other kind claims any longer.
        """
        others = {
            kind: _without_claims(backend, own.values()) for kind, backend in self.backends.items() if kind not in own
        }
        return Catalog(others | dict(own), self._consoles - _ports_of(own.values()), self._relays)

    def of_scheme(self, scheme: str) -> str | None:
        """Return the kind of a URL scheme, without prefixes ("jdbc:") and driver suffixes ("postgresql+asyncpg")."""
        if kind := self._by_scheme.get(scheme):
            return kind
        bases = (base for part in scheme.split(":") for base in part.split("+"))
        return next((kind for base in bases if (kind := self._by_scheme.get(base)) is not None), None)

    def of_port(self, port: int | None) -> str | None:
        """Return the kind that a well-known port indicates by itself."""
        return None if port is None else self._by_port.get(port)

    def of_image(self, image: str) -> str | None:
        """Return the kind that a server image runs, from its repository's last one or two parts."""
        for name in _names(image[:_LONGEST_IMAGE]):
            if (kind := self._by_image.get(name)) is not None:
                return kind
        return None

    def relays(self, image: str) -> str | None:
        """Return what an image proxies: a kind, "" for any protocol, None when it is not a proxy."""
        base = _repository(image[:_LONGEST_IMAGE])[-1]
        return self._by_proxy.get(base) or ("" if base in self._relays else None)

    def of_server(self, program: str) -> str | None:
        """Return the kind that a program is the server of."""
        return self._by_server.get(program)

    def of_client(self, program: str) -> str | None:
        """Return the kind that a program connects to."""
        return self._by_client.get(program)

    def may_dial(self, server: str | None, kind: str) -> bool:
        """Return whether a container that runs a server of one kind (or of none) may be a client of another."""
        dials = None if server is None else self.backends[server].dials
        return dials is None or kind in dials or kind == server

    def is_server_only(self, kind: str) -> bool:
        """Return whether only servers of the kind are reported, not clients."""
        return self.backends[kind].server_only

    def speaks_http(self, kind: str) -> bool:
        """Return whether an http:// URL may lead to this kind."""
        return self.backends[kind].http

    def answers_http(self, kind: str, port: int) -> bool:
        """Return whether the kind speaks HTTP at this port of its own."""
        return self.speaks_http(kind) or self._wires[kind].exceptions.get(port) in {Wire.HTTP1, Wire.HTTP2}

    def server_speaks_first(self, kind: str) -> bool:
        """Return whether the kind's protocol is server-first: clients wait for the server's greeting."""
        return self.backends[kind].wire is Wire.SERVER_FIRST

    def redirects(self, kind: str, host: str, port: int | None) -> str:
        """Return where servers of a kind send their clients on to, at other ports, as a phrase; "" where they do not.

        Args:
            kind: The kind.
            host: The host that is dialled first, in lower case.
            port: The port that is dialled first.
        """
        redirects = self.backends[kind].redirects
        for where, target in redirects.items() if redirects else ():
            if where == str(port) or host == where or host.endswith(f".{where}") or where == "any":
                return target
        return ""

    def said(self, kind: str, scheme: str, port: int | None, tls: Tls | None) -> Wire | None:
        """Return what a connection to a kind begins with, as `Wires.said`."""
        return self._wires[kind].said(scheme, port, tls)

    def uses_port(self, kind: str, port: int) -> bool:
        """Return whether the port is one of the kind's own, well-known or not."""
        return port in self.backends[kind].ports or port in self.backends[kind].weak_ports

    def peer_ports(self, kind: str) -> tuple[int, ...]:
        """Return the ports at which the members of a cluster of the kind call each other."""
        return self.backends[kind].peer_ports

    def default_port(self, kind: str, wire: Wire | None = None) -> int | None:
        """Return the port that a client dials when none is given, for what it begins with."""
        if (port := self._wires[kind].port_of(wire)) is not None:
            return port
        ports = self.backends[kind].ports or self.backends[kind].weak_ports
        return ports[0] if ports else None

    def named(self, tokens: tuple[str, ...], *, host: bool = False) -> str | None:
        """Return the kind that words name; of several the last, which is the nearest to what the words are about.

        Args:
            tokens: Lower-case words, as `words` returns them.
            host: Also accept names that mean the kind only where a host is meant ("mail host").
        """
        found = None
        for start in range(len(tokens)):
            for end in range(min(start + 3, len(tokens)), start, -1):
                kind = self._of_words(tokens[start:end], host=host)
                if kind is not None:
                    if not self._is_beside(kind, tokens[end : end + 1]):
                        found = kind
                    break
        return found

    def is_name(self, text: str) -> bool:
        """Return whether a text is a backend's name and nothing else."""
        return text.lower() in self._by_name

    def words_of_keys(self) -> frozenset[str]:
        """Return all names of kinds in keys, each written as one word, and the words that change their meaning."""
        phrases = map("".join, self._by_phrase)
        return frozenset().union(self._by_name, self._by_weak_name, phrases, _BESIDE, _BESIDE_OVER_HTTP)

    def _is_beside(self, kind: str, following: tuple[str, ...]) -> bool:
        return bool(_BESIDE.intersection(following)) or (
            bool(_BESIDE_OVER_HTTP.intersection(following)) and not self.speaks_http(kind)
        )

    def is_console(self, port: int) -> bool:
        """Return whether the port is one that consoles and exporters of backends listen on, over HTTP."""
        return port in self._consoles

    def _of_words(self, tokens: tuple[str, ...], *, host: bool) -> str | None:
        joined = "".join(tokens)
        kind = self._by_phrase.get(tokens) or self._by_name.get(joined)
        return kind or (self._by_weak_name.get(joined) if host else None)

    def of_port_name(self, name: str) -> str | None:
        """Return the kind that a Service port's name means: a backend's name, at most with "tcp" or "client"."""
        return self._by_name.get("".join(word for word in words(name) if word not in _IN_PORT_NAMES))

    def of_text(self, text: str) -> str | None:
        """Return the kind that a driver's or provider's name means ("org.postgresql.Driver", "pgsql")."""
        return self.named(words(text))


# What port names contain besides the protocol.
_IN_PORT_NAMES = frozenset("tcp tls ssl client clients port svc service db main primary default".split())


def _without_claims(backend: Backend, others: Iterable[Backend]) -> Backend:
    claimed = {name: {item for other in others for item in getattr(other, name)} for name in _CLAIMS}
    kept = {name: tuple(item for item in getattr(backend, name) if item not in claimed[name]) for name in _CLAIMS}
    return msgspec.structs.replace(backend, **kept)


def _ports_of(backends: Iterable[Backend]) -> frozenset[int]:
    return frozenset(port for backend in backends for port in backend.ports)


_CLAIMS = ("ports", "schemes", "names", "weak_names", "keys", "images", "servers", "proxies", "clients")


@lru_cache(maxsize=2048)
def _repository(image: str) -> tuple[str, ...]:
    """Return the parts of an image's repository, without tag and digest."""
    *above, base = image.partition("@")[0].lower().split("/")
    return (*above, base.partition(":")[0])


@lru_cache(maxsize=2048)
def _names(image: str) -> tuple[str, str, str]:
    """Return the names to look up an image by, the most specific first."""
    parts = _repository(image)
    base = parts[-1].removesuffix("-photon").removesuffix("-alpine")
    return "/".join(parts[-2:]), base, _without_role(base)


def _without_role(base: str) -> str:
    """Return what a self-built image is built from: "shop-mysql-db" and "mysql-primary" are both "mysql"."""
    stem = base
    for role in _ROLES:
        stem = stem.removesuffix(f"-{role}")
    return stem.rpartition("-")[2] if stem != base else ""


# No registry accepts a longer reference, and each is cached.
_LONGEST_IMAGE = 512
# After a backend's name in an image's, these words mean the server itself.
_ROLES = ("db", "database", "server", "local", "standalone", "primary", "master", "single", "node")


def _index(entries: Iterable[tuple[str, Iterable[_Key]]]) -> dict[_Key, str]:
    return {key: kind for kind, keys in entries for key in keys}


@cache
def _packaged() -> Catalog:
    text = resources.files(__package__).joinpath("catalog.yaml").read_text(encoding="utf-8")
    file = msgspec.convert(yaml.load(text, Loader=FastLoader), _File)  # noqa: S506 - it is a safe one
    return Catalog(file.kinds, file.consoles, file.relays)
