"""Judge a connection: will it flow, how, and if not, at which end does it break?

The sidecar of the client decides where it goes and whether in the mesh's TLS, that of the server whether it is taken,
and either may parse it. What is not known of a party is tried both ways: a verdict stands only if all agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from msgspec.structs import replace as replace_fields

from webhook.core.verdict import End, Outcome, Security, Verdict, Wire
from webhook.mesh.ambient import from_ambient
from webhook.mesh.arrival import Arrival, starts_mtls
from webhook.mesh.config import SETTINGS, IstioConfiguration
from webhook.mesh.destination import Destination, Registry, Sight
from webhook.mesh.outbound import send
from webhook.mesh.party import Interception, Party, Plane
from webhook.mesh.protocols import select
from webhook.mesh.routes import rerouting
from webhook.mesh.trace import EITHER, ELSEWHERE, MISSING, ORIGINATED, ROUTED, Arrived, Result, Stream, Trace

_OUTCOMES = {
    Result.WORKS: Outcome.FLOWS,
    Result.PROTOCOL_ERROR: Outcome.PROTOCOL_ERROR,
    Result.ERROR_RESPONSE: Outcome.PROTOCOL_ERROR,
    Result.HANGS: Outcome.HANGS,
    Result.RESET: Outcome.REFUSED,
    Result.REFUSED: Outcome.REFUSED,
    Result.BLACK_HOLE: Outcome.BLACKHOLED,
}
_OF_CLIENTS = ("DestinationRules", "Sidecars", "ServiceEntries")
_OF_SERVERS = ("Sidecars",)
"""The kinds that configure the sidecars of each end, beside PeerAuthentications, of which each mode is tried."""
_PLAINTEXT_REFUSED = frozenset({"strict-refuses", "not-in-registry"})


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection to judge.

    Attributes:
        client: Who makes it.
        to: Where it leads.
        wires: What may be said first; more than one where it is not known.
        unknown_wire: Why that is not known, as a phrase: "whether the client speaks TLS".
        early: Whether an init container makes it.
    """

    client: Party
    to: Destination
    wires: tuple[Wire, ...]
    unknown_wire: str = "what the client speaks"
    early: bool = False


@dataclass(frozen=True, slots=True)
class Mesh:
    """All that decides what becomes of connections, beside the two parties.

    Attributes:
        istio: Istio's configuration.
        registry: The Services.
    """

    istio: IstioConfiguration
    registry: Registry


def judge(connection: Connection, mesh: Mesh) -> Verdict:
    """Return what becomes of a connection.

    Args:
        connection: Who calls whom, and what is said.
        mesh: The Services and Istio's configuration.

    Returns:
        The verdict; `unknown`, with what is missing, where it depends on something that is not known.

    Example:
        judge(Connection(web, Destination(6379, cache, servers=[redis]), (Wire.CLIENT_FIRST,)), mesh).outcome
    """
    servers = connection.to.servers
    if servers is None:
        verdict = _of_unknown_servers(connection, mesh)
    elif not servers:
        verdict = _judged(connection, mesh, None)
    else:
        verdict = together([_judged(connection, mesh, server) for server in servers])
    return _with_unread(verdict, connection, mesh.istio.missing) if mesh.istio.missing else verdict


def _with_unread(verdict: Verdict, connection: Connection, missing: Sequence[str]) -> Verdict:
    """Return a verdict with what of Istio's configuration was not read and may change it.

    What flows is then unknown, unless it is the mesh's settings that were not read: Istio's defaults count.
    """
    servers = connection.to.servers
    kinds: set[str] = set()
    if Plane.SIDECAR in connection.client.planes:
        kinds.update(_OF_CLIENTS)
    if servers is None or any(Plane.SIDECAR in server.planes for server in servers):
        kinds.update(_OF_SERVERS)
    objects = tuple(phrase for phrase in missing if phrase.partition(" ")[0] in kinds)
    settings = (SETTINGS,) if SETTINGS in missing and Plane.SIDECAR in connection.client.planes else ()
    every = (*verdict.missing, *objects, *settings)
    if verdict.outcome is Outcome.FLOWS and objects:
        return Verdict(Outcome.UNKNOWN, "not-known", evidence=verdict.evidence, missing=every)
    return replace_fields(verdict, missing=every) if every else verdict


def _judged(connection: Connection, mesh: Mesh, server: Party | None) -> Verdict:
    """Return the verdict for one server, whatever is not known of it."""
    return _agreed(_variants(connection, mesh, server), connection, () if server is None else (server,), mesh)


def _of_unknown_servers(connection: Connection, mesh: Mesh) -> Verdict:
    """Judge for any server that there could be: with a sidecar and without."""
    service = connection.to.service
    space = service.namespace if service is not None else ""
    labels = dict(service.selector or {}) if service is not None else {}
    ports = {port.target: port.number for port in service.ports if isinstance(port.target, str)} if service else {}
    planes = (Plane.NONE, Plane.SIDECAR)
    anyone = Party("the server", space, labels, planes, unknown="which pods answer", named_ports=ports)
    return _judged(connection, mesh, anyone)


def traced(connection: Connection, mesh: Mesh, server: Party | None, wire: Wire) -> Trace:
    """Follow a connection to one server; each party has one plane.

    Args:
        connection: Who calls whom.
        mesh: The Services and Istio's configuration.
        server: The pod that answers; None for a host that is no pod, or where there is none.
        wire: What is said first.
    """
    client, to, stream = connection.client, connection.to, Stream(wire)
    if client.planes[0] is Plane.AMBIENT:
        return from_ambient(client, Arrival(to, server, wire, None, stream), mesh.istio, mesh.registry)
    if (direct := _direct(connection)) is not None:
        return Arrival(to, server, wire, None, stream).trace(mesh.istio, mesh.registry).after(direct)
    if (found := rerouting(client, to, mesh.istio)) is not None:
        said = f"VirtualService {found.metadata} has routes for TCP or TLS to {to}"
        return Trace(Result.WORKS, Arrived.PLAIN, ROUTED, None, (said,))
    sight = Sight(client, mesh.istio, mesh.registry)
    own_address = server if to.service is None or to.service.headless else None
    sent = send(client, to, stream, sight, own_address)
    if isinstance(sent, Trace):
        return sent
    evidence, stream = [sent.evidence], Stream(sent.wire, parsed=sent.parsed)
    if sent.to is not None and (elsewhere := sent.to.endpoints_elsewhere(to)):
        evidence.append(elsewhere)
        return Trace(Result.WORKS, Arrived.PLAIN, ELSEWHERE, None, tuple(evidence))
    if sent.to is not None:
        mtls, why = starts_mtls(sent.to, to, server, sight, mesh.istio)
        evidence.append(why)
        if mtls is None:
            return Trace(Result.WORKS, Arrived.PLAIN, ORIGINATED, None, tuple(evidence))
        stream = replace(stream, mtls=mtls)
    return Arrival(to, server, wire, sent, stream).trace(mesh.istio, mesh.registry).after(*evidence)


def _direct(connection: Connection) -> str | None:
    """Return why a connection does not go through a sidecar of the client, as a sentence; None where it does."""
    client, to, plane = connection.client, connection.to, connection.client.planes[0]
    if plane is Plane.NONE:
        return f"{client.name} has no sidecar, and calls directly, in plaintext"
    if connection.early and not client.native:
        return f"an init container of {client.name} calls before the sidecar's own init container redirects it"
    if client.calls_as_proxy(early=connection.early)[0]:
        return f"{client.name} calls as the sidecar's own user, 1337, which is not redirected: directly, in plaintext"
    if client.intercepted.outbound(to.port, to.address) is False:
        return f"{client.name} excludes port {to.port} from its sidecar, and calls directly, in plaintext"
    return None


def _variants(connection: Connection, mesh: Mesh, server: Party | None) -> Iterator[Verdict]:
    """Yield a verdict for each combination of what is not known."""
    client = connection.client
    for (plane, way), as_proxy, wire, there, istio in itertools.product(
        _ways(connection),
        client.calls_as_proxy(early=connection.early),
        connection.wires,
        server.planes if server is not None else (None,),
        mesh.istio.possible,
    ):
        end = server if server is None or there is None else replace(server, planes=(there,))
        caller = replace(client, planes=(plane,), intercepted=way, as_proxy=(as_proxy,), init_as_proxy=(as_proxy,))
        one = replace(connection, client=caller)
        yield _verdict(one, wire, traced(one, mesh if istio is mesh.istio else replace(mesh, istio=istio), end, wire))


def _ways(connection: Connection) -> list[tuple[Plane, Interception]]:
    """Return what the client may go through: its planes, and of a sidecar what it may get."""
    client, to = connection.client, connection.to
    found = client.intercepted.ways(to.port, to.address)
    return [(plane, way) for plane in client.planes for way in (found if plane is Plane.SIDECAR else found[:1])]


def _verdict(connection: Connection, wire: Wire, trace: Trace) -> Verdict:
    outcome = _OUTCOMES[trace.result]
    if trace.code == "not-in-registry":
        outcome = Outcome.BLACKHOLED
    if (missing := MISSING.get(trace.code)) is not None:
        return Verdict(Outcome.UNKNOWN, trace.code, evidence=trace.evidence, missing=(missing,))
    if outcome is not Outcome.FLOWS:
        return Verdict(outcome, _cause(connection, wire, trace.code), None, trace.at, trace.evidence)
    client = connection.client
    if client.planes[0] is Plane.SIDECAR and not client.native:
        if client.batch:
            said = f"the sidecar of {client.name} is a regular container, and goes on when the application has ended"
            return Verdict(Outcome.NEVER_ENDS, "job-never-finishes", None, End.CLIENT, (*trace.evidence, said))
        through = _direct(connection) is None
        if not client.held and not connection.early and through:
            said = f"{client.name} may start before its sidecar is ready"
            return Verdict(Outcome.STARTS_TOO_EARLY, "hold-missing", None, End.CLIENT, (*trace.evidence, said))
    if trace.code == EITHER:
        return Verdict(outcome, outcome.value, evidence=trace.evidence)
    security = Security.MTLS if trace.arrived is Arrived.MTLS else Security.PLAINTEXT
    return Verdict(outcome, f"{outcome}-{security}", security, None, trace.evidence)


def _cause(connection: Connection, wire: Wire, code: str) -> str:
    """Return the code of the cause behind that of a trace that breaks.

    A client's sidecar passes what is not HTTP through in plaintext where the port is declared HTTP. That such plaintext
    is refused, by a server that takes mutual TLS only, or by the sidecar itself, which lets nothing unknown out, is not
    at fault: the declaration is. An init container that calls before a plain sidecar has no mutual TLS to start.
    """
    client, to = connection.client, connection.to
    if code not in _PLAINTEXT_REFUSED or client.planes[0] is not Plane.SIDECAR:
        return code
    if connection.early and not client.native:
        return "init-before-sidecar"
    protocol = None if to.service_port is None else select(to.service_port).protocol
    if Stream(wire).is_http or protocol is None or not protocol.is_http:
        return code
    if _direct(connection) is not None:
        return code
    return "tls-declared-http" if wire is Wire.TLS else "http-declared"


def _agreed(verdicts: Iterable[Verdict], connection: Connection, servers: Sequence[Party], mesh: Mesh) -> Verdict:
    """Return the verdict of all variants, or that it is unknown."""
    found = list(verdicts)
    first = found[0]
    if all((one.outcome, one.security) == (first.outcome, first.security) for one in found):
        return first
    evidence = tuple(f"{_said(one)}: {'; '.join(one.evidence)}" for one in found)
    if all(one.outcome is Outcome.FLOWS for one in found):
        return Verdict(Outcome.FLOWS, Outcome.FLOWS.value, evidence=evidence)
    if all(one.outcome.breaks and (one.code, one.at) == (first.code, first.at) for one in found):
        return Verdict(first.outcome, first.code, None, first.at, evidence)
    missing = [party.unknown for party in (connection.client, *servers) if len(party.planes) > 1]
    if len(connection.client.calls_as_proxy(early=connection.early)) > 1:
        missing.append(f"which container of {connection.client.name} calls: some run as the sidecar's user, 1337")
    ways = _ways(connection)
    if len(ways) > len(connection.client.planes):
        missing.append(f"the address of {connection.to.name}")
    if len(connection.wires) > 1:
        missing.append(connection.unknown_wire)
    if len(mesh.istio.possible) > 1:
        missing.append("the mode of mutual TLS: PeerAuthentications were not read")
    return Verdict(Outcome.UNKNOWN, "not-known", None, None, evidence, tuple(dict.fromkeys(missing)))


def _said(verdict: Verdict) -> str:
    return verdict.outcome if verdict.security is None else f"{verdict.outcome}, {verdict.security}"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict of those of all servers: what breaks at one of them breaks at times."""
    first = verdicts[0]
    if all((one.outcome, one.security) == (first.outcome, first.security) for one in verdicts):
        return first
    broken = next((one for one in verdicts if one.outcome.breaks), None)
    if broken is not None:
        count = sum(one.outcome.breaks for one in verdicts)
        said = f"it depends on which workload answers: {count} of {len(verdicts)} break it"
        return Verdict(broken.outcome, broken.code, None, broken.at, (*broken.evidence, said))
    unknown = next((one for one in verdicts if one.outcome is Outcome.UNKNOWN), None)
    if unknown is not None:
        return unknown
    return next(one for one in verdicts if one.security is Security.PLAINTEXT)
