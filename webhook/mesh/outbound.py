"""What the sidecar of a client does with a connection.

Istio gives the sidecar a listener for each address and port that it knows, and one for all else:

| the port that is called is        | listener for | HTTP requests     | other bytes    | silence        |
|-----------------------------------|--------------|-------------------|----------------|----------------|
| declared HTTP by a visible Service | the port     | routed by Host    | passed through | waits          |
| declared TCP or TLS by a Service  | the Service  | passed on         | passed on      | passed on      |
| not declared by its Service       | the Service  | parsed, passed on | passed on      | waits          |
| not known                         | none         | passed through    | passed through | passed through |

The first row is about any Service that the client sees, whomever it calls. What is passed on goes to the Service's
endpoints; what is passed through goes to its original address in plaintext, or under REGISTRY_ONLY nowhere. Source:
istio/istio pilot/pkg/networking/core (listener.go, httproute.go), and tests/mesh/truth.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from webhook.core.verdict import End, Wire
from webhook.mesh.destination import Destination, Known, Sight, declared_by, has_address, is_ranged
from webhook.mesh.objects import ServiceEntry
from webhook.mesh.party import Party
from webhook.mesh.protocols import Protocol, Selection, select
from webhook.mesh.trace import ADDRESS, SPOKEN, Arrived, Result, Stream, Trace

_NEVER_SHARED = frozenset({Protocol.MONGO, Protocol.MYSQL})
"""Protocols whose listener Istio never shares with another."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A connection that a client's sidecar sends on.

    Attributes:
        to: The host whose endpoints it goes to; None where it goes to its original address.
        parsed: Whether the sidecar parses it as HTTP.
        wire: What goes on.
        evidence: What the sidecar does, as a sentence.
    """

    to: Known | None
    parsed: bool
    wire: Wire
    evidence: str


@dataclass(slots=True)
class _Listener:
    """A listener, while Istio's rules for sharing a port and address are applied.

    Attributes:
        tcp: Whom bytes go to that are not parsed; None where they are passed through.
        http: Whether HTTP is recognised and parsed.
        first: The first host that it is made for.
        own: Whether it is one host's alone, so that HTTP needs no Host that is known.
        tls: Whom TLS goes to whose server name is one of theirs.
        ranged: Whom all goes to, for the sake of the address that is called.
    """

    first: Known
    tcp: Known | None = None
    http: bool = False
    own: bool = False
    tls: list[Known] = field(default_factory=list)
    ranged: Known | None = None

    def add(self, known: Known, to: Destination | None = None) -> None:
        """Add a host that shares the port and the address, as Istio does it."""
        protocol, first = known.declared.protocol, self.first.declared.protocol
        if protocol is not first and not _NEVER_SHARED.isdisjoint({protocol, first}):
            return
        if known.entry is not None and _is_by_name(known.declared, known.entry):
            self.tls.append(known)
            return
        if protocol is None or protocol.is_http:
            self.http = True
        if protocol is not None and protocol.is_http:
            return
        if known.entry is not None and is_ranged(known.entry):
            if self.ranged is None and to is not None and has_address(known.entry, to.address):
                self.ranged = known
        elif self.tcp is None:
            self.tcp = known


def _listener(*known: Known, own: bool = False, to: Destination | None = None) -> _Listener | None:
    if not known:
        return None
    listener = _Listener(known[0], own=own)
    for each in known:
        listener.add(each, to)
    return listener


def send(client: Party, to: Destination, stream: Stream, sight: Sight, server: Party | None) -> Sent | Trace:
    """Follow a connection through the sidecar of a client.

    Args:
        client: The client, with a sidecar that gets the connection.
        to: Where it leads.
        stream: What the client says.
        sight: What the sidecar knows.
        server: The pod whose own address is called: of a headless Service, or without any Service.

    Returns:
        What goes on, or how it ends here.
    """
    listener = _listener_for(to, sight, server)
    if listener is None:
        return _passed_through(client, stream, sight, "no host that it knows has that address and port")
    if _may_be_ranged(to, sight):
        said = f"a ServiceEntry with ranges of addresses has port {to.port}, and only what is in them is let out"
        return Trace(Result.WORKS, Arrived.PLAIN, ADDRESS, None, (said,))
    if (listener.http or listener.tls) and stream.is_silent:
        return _waits(client, to, listener)
    return _sent(client, to, stream, sight, listener)


def _sent(client: Party, to: Destination, stream: Stream, sight: Sight, listener: _Listener) -> Sent | Trace:
    """Follow a connection whose first bytes a listener has seen."""
    if listener.ranged is not None:
        said = f"the sidecar of {client.name} passes the bytes on to {listener.ranged}, which has that address"
        return Sent(listener.ranged, parsed=False, wire=stream.wire, evidence=said)
    if listener.http and stream.is_http:
        return _routed(client, to, stream, sight, listener)
    if stream.wire is Wire.TLS and (named := _by_server_name(to, listener)) is not None:
        said = f"the sidecar of {client.name} passes TLS on to {named} by its server name: {_because(named)}"
        return Sent(named, parsed=False, wire=stream.wire, evidence=said)
    if listener.tcp is None and not listener.http:
        return _passed_through(client, stream, sight, f"{listener.first} has port {to.port} for TLS to its own hosts")
    if listener.tcp is None:
        why = f"port {to.port} is one for HTTP, {_because(listener.first)}, and these bytes are not HTTP"
        found = _passed_through(client, stream, sight, why)
        if isinstance(found, Trace) and to.service is None and _named(to, sight) is not None:
            return replace(found, code="tls-declared-http" if stream.wire is Wire.TLS else "http-declared")
        return found
    said = f"the sidecar of {client.name} passes the bytes on to {listener.tcp}: {_because(listener.tcp)}"
    return Sent(listener.tcp, parsed=False, wire=stream.wire, evidence=said)


def _may_be_ranged(to: Destination, sight: Sight) -> bool:
    """Return whether it depends on the address of a host, which is not known, whether the sidecar lets it out."""
    if to.service is not None or to.servers or to.address is not None or not sight.registry_only:
        return False
    return any(is_ranged(entry) and not _is_http(declared_by(port)) for entry, port in sight.entries(to))


def _listener_for(to: Destination, sight: Sight, server: Party | None) -> _Listener | None:
    """Return the listener that a connection matches: that of its address, else that of its port."""
    service, declared = to.service, to.service_port
    egress = sight.egress_at(to.port)
    if service is not None and declared is not None and not service.headless:
        known = Known(select(declared), service)
        if egress is not None and egress.port is not None and sight.sees(service, egress):
            at_port = declared_by(egress.port)
            if at_port.protocol is None or not at_port.protocol.is_http:
                return _listener(Known(at_port, service), own=True)
        elif sight.sees(service) and _has_own(known.declared):
            return _listener(known, own=True)
    elif server is not None:
        here = [known for known in sight.headless_at(server, to.port) if _has_own(known.declared)]
        if here:
            return _listener(*here, own=True)
    elif service is None and (entry := _entry_with_address(to, sight)) is not None:
        return _listener(entry, own=True)
    if egress is not None and egress.port is not None:
        at_port = declared_by(egress.port)
        seen = service is not None and declared is not None and sight.sees(service, egress)
        if not seen and not _is_http(at_port):
            headless = sight.http_at(to.port, egress)
            return _shared(to, sight) if headless is None else _listener(Known(at_port, headless.service), own=True)
        return _listener(Known(at_port, service if seen else None))
    return _shared(to, sight)


def _shared(to: Destination, sight: Sight) -> _Listener | None:
    """Return the listener that a port has for all addresses, or None."""
    sharing = [] if (http := sight.http_at(to.port)) is None else [http]
    for entry, port in sight.entries(to):
        known = Known(declared_by(port), entry=entry)
        if _is_http(known.declared) or not entry.spec.addresses or is_ranged(entry):
            sharing.append(known)
    return _listener(*sorted(sharing, key=lambda known: known.age), to=to)


def _is_by_name(declared: Selection, entry: ServiceEntry) -> bool:
    """Return whether connections to a ServiceEntry are told by the server name of their TLS, for want of an address."""
    listed = entry.spec.addresses
    return declared.protocol in {Protocol.TLS, Protocol.HTTPS} and (not listed or is_ranged(entry))


def _by_server_name(to: Destination, listener: _Listener) -> Known | None:
    """Return whom TLS goes to by its server name, or None."""
    naming = [
        (entry.names(to.host), known)
        for known in listener.tls
        if (entry := known.entry) is not None
        and entry.names(to.host)
        and (to.address is None or not is_ranged(entry) or has_address(entry, to.address))
    ]
    return max(naming, key=lambda found: found[0])[1] if naming else None


def _entry_with_address(to: Destination, sight: Sight) -> Known | None:
    """Return the ServiceEntry with the address and the port that are called, unless it declares HTTP, or None."""
    for entry, port in sight.entries(to, sight.egress_at(to.port)):
        declared = declared_by(port)
        listed = has_address(entry, to.address)
        if listed is None:
            listed = to.address is None and entry.names(to.host) > 0
        if listed and not _is_http(declared) and not is_ranged(entry):
            return Known(declared, entry=entry)
    return None


def _routed(client: Party, to: Destination, stream: Stream, sight: Sight, listener: _Listener) -> Sent | Trace:
    """Follow an HTTP request, whose Host decides where it goes."""
    known = listener.first if listener.own else _named(to, sight)
    if known is None:
        if sight.registry_only:
            said = f"the sidecar of {client.name} parses HTTP at port {to.port}, and knows no host of that name"
            return Trace(Result.ERROR_RESPONSE, Arrived.NOTHING, "not-in-registry", End.CLIENT, (said,))
        said = f"the sidecar of {client.name} parses HTTP at port {to.port}, {_because(listener.first)}"
        return Sent(None, parsed=True, wire=stream.wire, evidence=f"{said}, and passes what it does not know through")
    said = f"the sidecar of {client.name} parses it as HTTP and routes it to {known}: {_because(listener.first)}"
    return Sent(known, parsed=True, wire=upstream(known.declared, stream.wire), evidence=said)


def _named(to: Destination, sight: Sight) -> Known | None:
    """Return the host that the Host of a request names."""
    egress = sight.egress_at(to.port)
    if to.service is not None and not to.host and to.service_port is not None and sight.sees(to.service, egress):
        declared = select(to.service_port)
        return Known(declared, to.service) if declared.protocol is None or declared.protocol.is_http else None
    naming = [
        (entry.names(to.host), Known(declared, entry=entry))
        for entry, port in sight.entries(to)
        if entry.names(to.host) and ((declared := declared_by(port)).protocol is None or declared.protocol.is_http)
    ]
    return max(naming, key=lambda found: found[0])[1] if naming else None


def upstream(declared: Selection, received: Wire) -> Wire:
    """Return the version of HTTP in which a sidecar sends a request on."""
    if declared.protocol is None:
        return received
    return Wire.HTTP2 if declared.protocol.is_http2 else Wire.HTTP1


def _passed_through(client: Party, stream: Stream, sight: Sight, why: str) -> Sent | Trace:
    if sight.registry_only:
        said = f"the sidecar of {client.name} closes it: {why}, and the mesh's outbound policy is REGISTRY_ONLY"
        return Trace(Result.BLACK_HOLE, Arrived.NOTHING, "not-in-registry", End.CLIENT, (said,))
    said = f"the sidecar of {client.name} passes it through in plaintext: {why}"
    return Sent(None, parsed=False, wire=stream.wire, evidence=said)


def _waits(client: Party, to: Destination, listener: _Listener) -> Trace:
    """Say how a connection on which the server speaks first ends at a listener that looks for HTTP."""
    said = f"the sidecar of {client.name} waits for the client's first bytes at port {to.port}: "
    said += f"{_because(listener.first)}; the client speaks {SPOKEN[Wire.SERVER_FIRST]}"
    if _is_called(listener.first, to):
        code = "server-first-sniffed" if listener.first.declared.protocol is None else "http-declared"
    elif listener.first.entry is not None and listener.first.entry.names(to.host):
        code = "http-declared" if _is_http(listener.first.declared) else "server-first-sniffed"
    else:
        code = "port-captured"
    return Trace(Result.HANGS, Arrived.NOTHING, code, End.CLIENT, (said,))


def _is_called(known: Known, to: Destination) -> bool:
    """Return whether a host is the Service that is called; the inventory has it with and without its images."""
    one, other = known.service, to.service
    return one is not None and other is not None and (one.namespace, one.name) == (other.namespace, other.name)


def _because(known: Known) -> str:
    protocol = known.declared.protocol
    what = "sniffed" if protocol is None else f"declared {protocol}"
    return f"{known} has it {what} ({known.declared.because})"


def _has_own(declared: Selection) -> bool:
    """Return whether a host has a listener of its own for a port; one that is declared UDP has none for TCP."""
    return not _is_http(declared) and declared.protocol is not Protocol.UDP


def _is_http(declared: Selection) -> bool:
    return declared.protocol is not None and declared.protocol.is_http
