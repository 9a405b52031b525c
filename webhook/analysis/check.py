"""Whether one connection works: from a workload to a Service, a workload or a host, hop by hop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from webhook.analysis.connections import Parties
from webhook.core.decision import Call, Dependency
from webhook.core.verdict import Verdict, Wire
from webhook.detection.resolve.places import Places
from webhook.mesh.connections import Mesh, together
from webhook.mesh.destination import Destination
from webhook.mesh.party import Party
from webhook.mesh.protocols import select
from webhook.problem import did_you_mean
from webhook.verdicts.compose import Composer, is_outside

if TYPE_CHECKING:
    from webhook.analysis.workloads import Decided, Inventory
    from webhook.detection.catalog import Catalog
    from webhook.verdicts.rendering import Rendering

_SHORT: Final = {
    "deploy": "deployment",
    "sts": "statefulset",
    "ds": "daemonset",
    "rs": "replicaset",
    "rc": "replicationcontroller",
    "po": "pod",
    "cj": "cronjob",
    "svc": "service",
}
_EVERY: Final = tuple(wire for wire in Wire if wire is not Wire.REQUEST_LIKE)


class CheckError(Exception):
    """The client or the server is not known, or not one alone. The text is a sentence for users."""


@dataclass(frozen=True, slots=True)
class Named:
    """A workload, Service or host as users write it: [KIND/]NAME[.NAMESPACE][:PORT].

    Attributes:
        kind: In lower case, long; empty where none is given.
        name: The name, with whatever is behind a dot.
        port: The port; None where none is given.
    """

    kind: str
    name: str
    port: int | None

    @classmethod
    def of(cls, text: str) -> Named:
        """Read what a user has written.

        Raises:
            CheckError: The port is not one.
        """
        rest, colon, number = text.rpartition(":")
        if not colon:
            rest, number = text, ""
        if number and not (number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536):
            raise CheckError(f"{number!r} is not a port")
        kind, _, name = rest.rpartition("/")
        kind = kind.lower()
        return cls(_SHORT.get(kind, kind), name, int(number) if number else None)

    def matches(self, kind: str, namespace: str, name: str) -> bool:
        """Return whether it names an object."""
        return self.kind in {"", kind.lower()} and self.name in {name, f"{name}.{namespace}"}


@dataclass(frozen=True, slots=True)
class Checked:
    """A connection, and what becomes of it.

    Attributes:
        client: The workload that calls.
        to: Where the connection leads.
        service: The Service that is called, as namespace and name; empty for another host.
        wires: What may be said first.
        known_by: How that is known; empty where it is not.
        servers: A verdict for each workload that may answer.
        verdict: That of all of them.
    """

    client: Party
    to: Destination
    service: str
    wires: tuple[Wire, ...]
    known_by: str
    servers: Sequence[tuple[Party, Verdict]]
    verdict: Verdict


class Checker:
    """Checks connections of one inventory."""

    def __init__(
        self,
        decided: Sequence[Decided],
        inventory: Inventory,
        catalog: Catalog,
        rendering: Rendering,
        *,
        as_they_run: bool,
    ) -> None:
        """Take the workloads with their decisions, and what surrounds them; see `connections_of`."""
        self._decided = decided
        self._inventory = inventory
        self._catalog = catalog
        self._parties = Parties(inventory, decided, rendering, as_they_run=as_they_run)
        self._composer = Composer(Mesh(inventory.istio, inventory), inventory, self._parties)

    def check(self, client: str, server: str, *, namespace: str | None, protocol: str | None) -> Checked:
        """Judge one connection.

        Args:
            client: The workload that calls, as [KIND/]NAME[.NAMESPACE].
            server: A Service, a workload or a host, as [KIND/]NAME[.NAMESPACE][:PORT].
            namespace: The namespace of the client; None for any.
            protocol: What is spoken: a wire, or a kind of backend; None to find it out.

        Raises:
            CheckError: The client, the server or the protocol is not known.
        """
        caller = self._workload(Named.of(client), namespace, "client")
        called = Named.of(server)
        party = self._parties.clients((caller.workload.kind, caller.workload.namespace, caller.workload.name))[0]
        to = self._destination(called, caller)
        found = [one for one in _found(caller) if one.port == to.port and _leads_to(one, to)]
        wires, known_by = self._wires(found, to, protocol)
        early = bool(found) and all(one.init for one in found)

        def judge(to: Destination) -> Verdict:
            return self._composer.judge(party, to, wires, early=early)

        verdicts = [(one, judge(replace(to, servers=[one]))) for one in to.servers or ()]
        whole = together([verdict for _, verdict in verdicts]) if verdicts else judge(to)
        service = "" if to.service is None else f"{to.service.namespace}/{to.service.name}"
        return Checked(party, to, service, wires, known_by, verdicts, whole)

    def _workload(self, named: Named, namespace: str | None, role: str) -> Decided:
        found = [
            each
            for each in self._decided
            if named.matches(each.workload.kind, each.workload.namespace, each.workload.name)
            and namespace in {None, each.workload.namespace}
        ]
        if len(found) == 1:
            return found[0]
        if found:
            every = ", ".join(sorted(f"{_place(each)}" for each in found))
            raise CheckError(f"the {role} {named.name!r} is one of {every}: write KIND/NAME.NAMESPACE")
        names = {each.workload.name for each in self._decided}
        hint = did_you_mean(named.name, names) or "see `sidecar-policy explain`"
        raise CheckError(f"no workload {named.name!r} ({hint})")

    def _destination(self, called: Named, caller: Decided) -> Destination:
        workload = caller.workload
        if called.kind and called.kind != "service":
            return self._pods(called)
        place = Places(workload.pod, workload.namespace, self._inventory).resolve(called.name, str(called.port or ""))
        if place is None:
            raise CheckError(f"{called.name!r} is not a host, or the client itself")
        if place.service is None:
            if not is_outside(place.host):
                names = {service.name for service in self._inventory.services(workload.namespace)}
                hint = did_you_mean(called.name, names) or f"a Service's name in {workload.namespace}, or a full host"
                raise CheckError(f"no Service {called.name!r} is known ({hint})")
            if called.port is None:
                raise CheckError(f"{called.name} needs a port: {called.name}:PORT")
            return self._composer.destination(called.name, called.port, None)
        numbers = [port.number for port in place.service.ports if port.transport == "TCP"]
        if called.port is None and len(numbers) != 1:
            ports = ", ".join(map(str, numbers)) or "none"
            raise CheckError(f"Service {place.service.name} needs a port; it has {ports}")
        return self._composer.destination(called.name, called.port or numbers[0], place.service)

    def _pods(self, called: Named) -> Destination:
        """Return the pods of a workload, called by their own addresses."""
        server = self._workload(replace(called, port=None), None, "server").workload
        if called.port is None:
            raise CheckError(f"{server.kind}/{server.name} needs a port: a pod is called at its own address")
        parties = self._parties.clients((server.kind, server.namespace, server.name))
        return Destination(called.port, None, "", parties)

    def _wires(
        self, found: Sequence[Dependency | Call], to: Destination, protocol: str | None
    ) -> tuple[tuple[Wire, ...], str]:
        if protocol is not None:
            return (self._protocol(protocol, to.port),), "as asked"
        for one in found:
            if one.wire is not None:
                return (one.wire,), one.evidence
        for kind, known_by in self._spoken(to):
            wire = self._catalog.said(kind, "", to.port, None)
            if wire is not None:
                return (wire,), f"{known_by}: {kind}"
        return _EVERY, ""

    def _spoken(self, to: Destination) -> Iterator[tuple[str, str]]:
        """Yield the kinds that answer, with how that is known: by the image behind the Service, else by the port."""
        service = to.service
        behind = None if service is None else self._inventory.service(service.namespace, service.name)
        for image in behind.images if behind is not None else ():
            kind = self._catalog.of_image(image)
            if kind is not None and (
                self._catalog.uses_port(kind, to.port) or len(behind.ports if behind else ()) == 1
            ):
                yield kind, f"the pods behind it run {image}"
        target = to.service_port
        declared = None if target is None else select(target).protocol
        if declared is not None and declared.is_http and behind is not None and behind.images:
            return
        for number in (to.port, target.target if target is not None else None):
            if isinstance(number, int) and (kind := self._catalog.of_port(number)) is not None:
                yield kind, f"port {number} is a known port"

    def _protocol(self, protocol: str, port: int) -> Wire:
        if protocol in set(Wire):
            return Wire(protocol)
        if protocol in self._catalog.kinds:
            wire = self._catalog.said(protocol, "", port, None)
            if wire is None:
                raise CheckError(f"a client of {protocol} may begin with TLS or without: say tls or client-first")
            return wire
        hint = did_you_mean(protocol, {*Wire, *self._catalog.kinds}) or f"one of {', '.join(Wire)}, or a kind"
        raise CheckError(f"unknown protocol {protocol!r} ({hint})")


def _found(caller: Decided) -> Iterator[Dependency | Call]:
    """Yield what a client is found to call."""
    yield from caller.decision.findings.dependencies
    yield from caller.decision.findings.calls


def _leads_to(found: Dependency | Call, to: Destination) -> bool:
    if isinstance(found, Call):
        return to.service is not None and (found.namespace, found.service) == (to.service.namespace, to.service.name)
    if to.service is None:
        return found.host == to.host
    return found.service == (to.service.namespace, to.service.name)


def _place(each: Decided) -> str:
    return f"{each.workload.kind}/{each.workload.name}.{each.workload.namespace}"
