"""What is said first on a connection to a backend: by its kind, the URL's scheme, the port, and settings about TLS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from webhook.core.values import Tls
from webhook.core.verdict import Wire
from webhook.detection.backend import Backend

_OF_HTTP = frozenset({Wire.HTTP1, Wire.HTTP2})
_HTTPS = frozenset({"https", "wss", "grpcs"})
_PLAIN_HTTP = frozenset({"http", "ws"})
_PLAIN_HTTP2 = frozenset({"h2c", "grpc"})
# Schemes that say that TLS is used, whatever is spoken in it.
_ENCRYPTED = frozenset({"tls", "ssl", "tcps"})
_OTLP_GRPC = 4317
"""OpenTelemetry's port for gRPC; its URLs say http:// whatever is spoken. Source: OTLP Specification, Default Port."""

UNKNOWN = "unknown"
"""The schemes and ports for which one or the other may be spoken, in the catalog."""
_STARTTLS = {"first": False, "later": True, "either": None}


class Wires(Struct, frozen=True, gc=False):
    """What one kind's connections begin with.

    Attributes:
        default: Without a scheme, a port or a setting that says otherwise; None where that is not known.
        exceptions: What a scheme or a port says otherwise; None where it can be one or the other.
        ports: The ports at which the default is spoken.
        schemes: The kind's URL schemes.
        starttls: Whether TLS begins behind the protocol's own first bytes, so that it does not change them; None
            where a kind has both forms, and only scheme and port tell which.
    """

    default: Wire | None
    exceptions: Mapping[str | int | None, Wire | None]
    ports: frozenset[int]
    schemes: frozenset[str]
    starttls: bool | None

    @classmethod
    def of(cls, backend: Backend) -> Wires:
        """Index what the catalog describes of a backend."""
        exceptions: dict[str | int | None, Wire | None] = {
            claim: None if wire == UNKNOWN else Wire(wire)
            for wire, claims in backend.other_wires.items()
            for claim in claims
        }
        default = backend.wire or (Wire.HTTP1 if backend.http else None)
        usually = "later" if default is Wire.SERVER_FIRST else "either" if default is None else "first"
        return cls(
            default,
            exceptions,
            frozenset((*backend.ports, *backend.weak_ports)) - exceptions.keys(),
            frozenset(backend.schemes) - exceptions.keys(),
            _STARTTLS[backend.tls_begins or usually],
        )

    def said(self, scheme: str, port: int | None, tls: Tls | None) -> Wire | None:
        """Return what a connection begins with; None when it is not known.

        Args:
            scheme: The scheme of the URL that names the place, in lower case; "" where it is not in a URL.
            port: The port.
            tls: What the settings say of TLS; None when they say nothing.
        """
        if tls is None and port not in self.exceptions and (not scheme or scheme in self.schemes):
            return self.default
        for part in _parts(scheme) if scheme else ():
            if part in self.exceptions:
                listed = self.exceptions[part]
                return None if listed is Wire.TLS and tls is Tls.OFF else listed
        if (over_http := _over_http(scheme)) is not None:
            return self.default if over_http is Wire.HTTP1 and self.default in _OF_HTTP else over_http
        if tls is Tls.DIRECT:
            return Wire.TLS
        if tls is Tls.ON or scheme in _ENCRYPTED:
            return self._encrypted(port)
        plain = tls is Tls.OFF or (tls is None and scheme in self.schemes)
        if port in self.exceptions:
            at_port = self.exceptions[port]
            if at_port is None and plain:
                return self.default
            return None if at_port is Wire.TLS and plain and self.starttls is not None else at_port
        return None if tls is Tls.UNKNOWN and not self.starttls else self.default

    def port_of(self, wire: Wire | None) -> int | None:
        """Return the port that is dialled where none is given, if it is another one than for the default."""
        if wire is None or wire is self.default:
            return None
        ports = (claim for claim, other in self.exceptions.items() if other is wire and isinstance(claim, int))
        return next(ports, None)

    def _encrypted(self, port: int | None) -> Wire | None:
        """Return what a connection begins with that has TLS from its beginning or from later on."""
        if self.starttls is False:
            return Wire.TLS
        if port in self.exceptions:
            return self.exceptions[port]
        return self.default if self.starttls or port in self.ports else None


def said_to_service(scheme: str, words: tuple[str, ...], tls: Tls | None, port: int | None = None) -> Wire | None:
    """Return what a connection to a Service that is no backend begins with; None when it is not known.

    Args:
        scheme: The scheme of the URL that names it, in lower case; "" where it is not in a URL.
        words: The words of the keys, in lower case: those of gRPC's clients announce it.
        tls: What the settings say of TLS; None when they say nothing.
        port: The port.
    """
    if scheme in _ENCRYPTED:
        return Wire.TLS
    if port == _OTLP_GRPC and scheme in _PLAIN_HTTP:
        return Wire.HTTP2
    if (over_http := _over_http(scheme)) is not None:
        return over_http
    if tls is None or tls is Tls.OFF:
        return Wire.HTTP2 if "grpc" in words else None
    return None if tls is Tls.UNKNOWN else Wire.TLS


def _over_http(scheme: str) -> Wire | None:
    """Return what an HTTP client begins with, by its URL's scheme; None for other schemes."""
    if scheme in _HTTPS:
        return Wire.TLS
    if scheme in _PLAIN_HTTP:
        return Wire.HTTP1
    return Wire.HTTP2 if scheme in _PLAIN_HTTP2 else None


def _parts(scheme: str) -> Iterator[str]:
    """Yield a URL's scheme, and its parts without drivers: "jdbc:mysql", "postgresql+asyncpg"."""
    yield scheme
    for part in scheme.split(":"):
        yield from part.split("+")
