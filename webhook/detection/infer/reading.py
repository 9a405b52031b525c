"""Infer dependencies from one container's settings and the hosts that they name.

The mention itself outranks its neighbourhood, in this order: the scheme or dialect, the image behind the
Service, the port, the provider that a neighbouring key chooses, the key's words, the host's words.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from webhook.core.budget import Budget
from webhook.core.decision import Call, Confidence, Dependency
from webhook.core.surroundings import Service
from webhook.core.values import Form, Mention
from webhook.detection.catalog import Catalog
from webhook.detection.infer.calls import call_of
from webhook.detection.infer.dialled import dialled
from webhook.detection.resolve.configuration import Configuration, Entry, Source
from webhook.detection.resolve.places import Place, Places
from webhook.detection.words import Role

HTTP = frozenset({"http", "https", "ws", "wss", "h2c", "grpc", "grpcs"})
# Schemes that name how to connect, not the backend.
_NEUTRAL = frozenset({"tcp", "tcps", "tcp4", "tls", "ssl", "dns", "srv", "dns+srv", "failover", "static"})
# Schemes without a host, or with one that is only downloaded from.
_NO_PLACES = frozenset(
    "file docker oci docker-daemon git ssh s3 gs gcs az abfs abfss wasb wasbs hdfs spiffe unix data local classpath "
    "env secret vault arn urn k8s memory mem inmemory sqlite sqlite3 otlp zipkin xds passthrough jar npm flock null"
    "".split()
)
# Where consoles and HTTP front ends listen; never a backend that does not speak HTTP.
_HTTP_PORTS = frozenset({80, 443, 8000, 8080, 8081, 8082, 8083, 8088, 8443, 8888, 3000, 5000, 9090, 50051})
# Mentions that are not charged to the budget: most containers have fewer.
_FEW = 8


class Reading:
    """The inference from one container's settings to its dependencies."""

    def __init__(self, configuration: Configuration, places: Places, catalog: Catalog, budget: Budget) -> None:
        self._configuration = configuration
        self._budget = budget
        self._places = places
        self._catalog = catalog

    def connections(self) -> Iterator[Dependency | Call]:
        """Yield every dependency and call that the settings are evidence of, setting by setting."""
        mentions = 0
        for entry in self._configuration.live():
            value = entry.value
            if entry.key.is_aside:
                continue
            if not value.readable:
                yield from self._by_key_alone(entry)
            elif value.switch:
                yield from self._by_switch(entry)
            mentions += len(value.mentions)
            if mentions > _FEW:
                self._budget.spend(mentions)
                mentions = 0
            for mention in value.mentions:
                if (connection := self.by_mention(entry, mention)) is not None:
                    yield connection

    def _by_key_alone(self, entry: Entry) -> Iterator[Dependency]:
        kind = entry.key.hint
        if kind is not None and entry.key.role is Role.LOCATION:
            yield Dependency(kind, Confidence.PROBABLE, None, None, f"{entry.evidence} (not readable) → {kind}")

    def _by_switch(self, entry: Entry) -> Iterator[Dependency]:
        kind = entry.key.switches
        if kind is not None and entry.source is not Source.FILES and not entry.value.word:
            yield Dependency(kind, Confidence.PROBABLE, None, None, f"{entry.evidence} is enabled → {kind}")

    def by_mention(self, entry: Entry, mention: Mention) -> Dependency | Call | None:
        """Return the dependency or call that a mention is evidence of, or None."""
        # Checked before any Service is looked up: most single words are not hosts.
        if mention.form is Form.BARE and not entry.key.locates:
            return None
        place = self.place_of(entry, mention)
        if place is None:
            return None
        if place.service is not None and place.service.extent:
            self._budget.spend(place.service.extent)
        concluded = self._conclude(entry, mention, place)
        if concluded is None:
            return call_of(self._configuration, entry, mention, place)
        unwritten = place.port is None
        kind, confidence, place = concluded
        wire, port_number = dialled(self._configuration, self._catalog, entry, mention, kind, place)
        if mention.form is Form.BARE and place.service is None and not entry.names_host(mention.host):
            return Dependency(kind, confidence, None, None, f"{entry.evidence} → {kind}", wire=wire)
        evidence = f"{entry.evidence} → {place} → {kind}"
        by_service = (
            place.elsewhere
            and unwritten
            and (place.port is not None or self._kind_alone(entry, mention, place.host) != kind)
        )
        service = None if place.service is None else (place.service.namespace, place.service.name)
        found = Dependency(kind, confidence, place.host, port_number, evidence, by_service, wire, service=service)
        redirects = self._catalog.redirects(kind, place.target or place.host, port_number)
        return replace(found, redirects=redirects) if redirects else found

    def _kind_alone(self, entry: Entry, mention: Mention, host: str) -> str | None:
        """Return the kind that a mention without a port is evidence of, whatever its host resolves to."""
        concluded = self._conclude(entry, mention, Place(host, None, None))
        return None if concluded is None else concluded[0]

    def place_of(self, entry: Entry, mention: Mention) -> Place | None:
        """Resolve a mention; return None when it does not resolve, or resolves to the pod itself."""
        configuration = self._configuration
        host, port = configuration.expanded(mention.host), configuration.expanded(mention.port)
        if mention.unless:
            if configuration.defines(mention.unless):
                return None
            host = configuration.link(mention.unless) or host
        port = port or configuration.port_beside(entry.key)
        if ":" in port:
            port = port.rpartition(":")[2]  # a service link such as REDIS_PORT is host:port
        look_up = self._is_host(entry, mention, host, port) and not entry.is_secret
        if look_up and (secrets := configuration.secret_words()):
            self._budget.spend(len(secrets) // 16)
            look_up = not any(word in host.lower() for word in secrets)
        return self._places.resolve(host, port, look_up=look_up)

    def _is_host(self, entry: Entry, mention: Mention, host: str, port: str) -> bool:
        """Return whether a mention is a host by its form or its key; of word:number, a known port is enough."""
        if mention.form is Form.BARE:
            return entry.names_host(host)
        if mention.form is not Form.HOST_PORT or entry.key.locates or entry.key.hint is not None:
            return True
        return port.isdigit() and self._catalog.of_port(int(port)) is not None

    def _conclude(self, entry: Entry, mention: Mention, place: Place) -> tuple[str, Confidence, Place] | None:
        if mention.scheme in HTTP:
            return self._over_http(entry, place)
        if mention.scheme and mention.scheme not in _NEUTRAL:
            kind = self._catalog.of_scheme(mention.scheme)
            if kind is None:
                return self._over_other(entry, mention, place)
            behind = self._behind(place, entry) if mention.form is Form.ADO else None
            return behind or (kind, Confidence.CERTAIN, place)
        if entry.source is Source.FILES and entry.key.path and not (entry.key.locates or entry.key.hint):
            return None
        return self._behind(place, entry) or self._by_port(entry, place) or self._by_words(entry, mention, place)

    def _over_other(self, entry: Entry, mention: Mention, place: Place) -> tuple[str, Confidence, Place] | None:
        """Infer from the place alone: a library's own scheme (ecto://, doctrine://) is not evidence."""
        if mention.scheme in _NO_PLACES:
            return None
        return self._behind(place, entry) or self._by_port(entry, place)

    def _over_http(self, entry: Entry, place: Place) -> tuple[str, Confidence, Place] | None:
        """Infer from an http:// URL: only a backend that speaks HTTP counts, with more evidence than a word."""
        kinds = self._image_kinds(place.service)
        kind = kinds[0] if kinds else None
        if kind is None:
            if place.port is None:
                return None
            kind = entry.key.hint or self._configuration.provider(entry.key) or place.named(self._catalog)
            if kind is None or not self._catalog.uses_port(kind, place.port):
                return None
        return (kind, Confidence.PROBABLE, place) if self._catalog.speaks_http(kind) else None

    def _behind(self, place: Place, entry: Entry) -> tuple[str, Confidence, Place] | None:
        """Infer from the Service's image, then from its ports."""
        service = place.service
        if service is None:
            return None
        kinds = self._image_kinds(service)
        if place.port is not None:
            for kind in kinds:
                if self._catalog.uses_port(kind, place.port):
                    return kind, Confidence.CERTAIN, place
            kind_of_port = self._catalog.of_port(place.port)
            if kind_of_port is not None:
                return kind_of_port, Confidence.CERTAIN, place
            own = len(kinds) == 1 and not self._is_beside(service, place.port, elsewhere=place.elsewhere)
            return (kinds[0], Confidence.PROBABLE, place) if own else self._by_port_name(service, place)
        return self._only_kind(service, kinds, place, entry) or self._by_port_name(service, place)

    def _by_port_name(self, service: Service, place: Place) -> tuple[str, Confidence, Place] | None:
        """Infer from the name of the Service's port, when neither its image nor its number is evidence.

        Of a Service in another namespace all ports count, whichever the pod names: otherwise its author could find the
        port by naming one after the other.
        """
        tried = place.elsewhere and place.port is not None
        if tried and self._is_http(place.port or 0):
            return None
        named = {}
        for port in service.ports:
            asked = self._catalog.of_port(port.number) is None if tried else place.port in {None, port.number}
            if asked and not self._is_http(port.number):
                kind = self._catalog.of_port_name(port.app_protocol or "") or self._catalog.of_port_name(
                    port.name or ""
                )
                if kind is not None:
                    named[kind] = port.number
        if len(named) != 1:
            return None
        kind, number = named.popitem()
        return kind, Confidence.PROBABLE, replace(place, port=place.port or number)

    def _only_kind(
        self, service: Service, kinds: list[str], place: Place, entry: Entry
    ) -> tuple[str, Confidence, Place] | None:
        numbers = [port.number for port in service.ports]
        for kind in kinds:
            port = next((number for number in numbers if self._catalog.uses_port(kind, number)), None)
            if port is not None or len(numbers) == 1:
                return kind, Confidence.CERTAIN, replace(place, port=port or numbers[0])
        by_port = {
            named: number for number in reversed(numbers) if (named := self._catalog.of_port(number)) is not None
        }
        if len(by_port) != 1:
            return None
        kind, port = next(iter(by_port.items()))
        # A server of something else may speak a backend's protocol on one port of several.
        others = [number for number in numbers if number != port and not self._is_http(number)]
        if others and not kinds and not self._is_hinted(kind, entry, place):
            return None
        sure = Confidence.CERTAIN if len(numbers) == 1 else Confidence.PROBABLE
        return kind, sure, replace(place, port=port)

    def _by_port(self, entry: Entry, place: Place) -> tuple[str, Confidence, Place] | None:
        kind = self._catalog.of_port(place.port)
        if kind is None:
            return None
        return kind, Confidence.CERTAIN if self._is_hinted(kind, entry, place) else Confidence.PROBABLE, place

    def _is_hinted(self, kind: str, entry: Entry, place: Place) -> bool:
        """Return whether the words around a place name the kind."""
        return kind in (entry.key.hint, self._configuration.provider(entry.key)) or place.named(self._catalog) == kind

    def _by_words(self, entry: Entry, mention: Mention, place: Place) -> tuple[str, Confidence, Place] | None:
        kind = self._configuration.provider(entry.key) or entry.key.hint
        if kind is None and entry.key.subject:
            kind = place.named(self._catalog)
        if kind is None or not (entry.key.locates or mention.form is not Form.BARE):
            return None
        if self._chooses(entry, mention, place):
            return None
        if self._is_weak(entry, kind, place) and not self._may_be(kind, place):
            return None
        if place.port is not None and not self._catalog.uses_port(kind, place.port):
            if self._catalog.is_console(place.port) or place.port in _HTTP_PORTS:
                return None
            if not entry.key.locates:
                return None
        if place.port is None and place.service is not None and place.service.ports:
            numbers = {port.number for port in place.service.ports}
            if numbers <= _HTTP_PORTS or all(self._catalog.is_console(number) for number in numbers):
                return None
        return kind, Confidence.PROBABLE, place

    def _chooses(self, entry: Entry, mention: Mention, place: Place) -> bool:
        """Return whether a word is a mode rather than a place: RABBIT_CONNECTION=direct."""
        return (
            mention.form is Form.BARE
            and place.service is None
            and place.port is None
            and "." not in place.host
            and entry.key.may_choose
            and place.named(self._catalog) is None
        )

    def _is_weak(self, entry: Entry, kind: str, place: Place) -> bool:
        """Return whether only a weak name is evidence of the kind: EMAIL_HOST may be the shop's own mailing service."""
        return (
            kind not in (self._configuration.provider(entry.key), entry.key.strong_hint)
            and place.named(self._catalog, weak=False) != kind
        )

    def _may_be(self, kind: str, place: Place) -> bool:
        """Return whether the place has a port of the kind, as far as its ports are known."""
        if place.port is not None:
            return self._catalog.uses_port(kind, place.port)
        return place.service is None or any(self._catalog.uses_port(kind, port.number) for port in place.service.ports)

    def _image_kinds(self, service: Service | None) -> list[str]:
        if service is None or not service.images:
            return []
        kinds = (self._catalog.of_image(image) for image in service.images)
        return list(dict.fromkeys(kind for kind in kinds if kind is not None))

    def _is_http(self, number: int) -> bool:
        """Return whether consoles, exporters and web servers listen on the port."""
        return number in _HTTP_PORTS or self._catalog.is_console(number)

    def _is_beside(self, service: Service, number: int, *, elsewhere: bool) -> bool:
        """Return whether the port is a console's or an exporter's; in other namespaces by its number alone."""
        if self._is_http(number) or elsewhere:
            return self._is_http(number)
        names = {port.name for port in service.ports if port.number == number and port.name}
        return any(word in name for name in names for word in ("metrics", "http", "exporter", "admin", "web"))
