"""The simulator's meshes, as the judge of connections sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import msgspec
from matrix import Cell
from simulator import Call
from simulator import Mesh as Simulated
from truth import Key, Sight

from webhook.core.surroundings import Service, Services
from webhook.core.verdict import Wire
from webhook.inventory.objects import ServiceObject, service_of
from webhook.kubernetes.pod import Pod
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.connections import Connection, Mesh, traced
from webhook.mesh.destination import Destination, port_of
from webhook.mesh.party import Party, Plane, interception_of
from webhook.mesh.protocols import select
from webhook.mesh.trace import Trace


class Registry:
    """The Services of a simulated mesh."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.every = services

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        return {"kubernetes.io/metadata.name": namespace}

    def services(self, namespace: str) -> Services:
        return Services(service for service in self.every if service.namespace == namespace)

    def http_services(self, port: int) -> Sequence[Service]:
        found = []
        for service in self.every:
            declared = port_of(service, port)
            protocol = None if declared is None else select(declared).protocol
            if protocol is not None and protocol.is_http:
                found.append(service)
        return sorted(found, key=lambda service: (service.created, service.name, service.namespace))


class Judged:
    """A simulated mesh."""

    def __init__(self, simulated: Simulated) -> None:
        objects = list(simulated.objects)
        settings = {
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {
                "mesh": f"outboundTrafficPolicy: {{mode: {simulated.outbound_policy}}}\n"
                f"enableAutoMtls: {str(simulated.auto_mtls).lower()}\n"
            },
        }
        services = [one for one in objects if one["kind"] == "Service"]
        self._addresses = {
            one["spec"]["clusterIP"]: (one["metadata"]["namespace"], one["metadata"]["name"])
            for one in services
            if one["spec"].get("clusterIP", "None") not in {"None", ""}
        }
        read = [service_of(msgspec.convert(one, ServiceObject), one["metadata"]["namespace"]) for one in services]
        self._services = {(one.namespace, one.name): one for one in read}
        self._pods = {one["status"]["podIP"]: party(one) for one in objects if one["kind"] == "Pod"}
        self._named = {f"{one.namespace}/{one.name}": one for one in self._pods.values()}
        self.mesh = Mesh(IstioConfiguration.of([*objects, settings]), Registry(read))

    def trace(self, call: Call) -> Trace | None:
        """What becomes of a call; None where it depends on which pod answers."""
        connection = self.connection(call)
        servers = [self._pods[call.address]] if call.address in self._pods else connection.to.servers
        assert servers is not None
        traces = [traced(connection, self.mesh, one, connection.wires[0]) for one in servers or (None,)]
        same = {(one.result, one.arrived) for one in traces}
        return traces[0] if len(same) == 1 else None

    def connection(self, call: Call) -> Connection:
        """A call, as the judge sees it."""
        return Connection(self._named[call.origin], self._destination(call), (Wire(call.protocol),))

    def _destination(self, call: Call) -> Destination:
        name, _, namespace = call.host.partition(".")
        named = self._services.get((namespace, name))
        if call.address in self._addresses:
            service = self._services[self._addresses[call.address]]
            host = "" if named is service else call.host
            return Destination(call.port, service, host, self._behind(service))
        if call.address in self._pods:
            if named is not None and named.headless:
                return Destination(call.port, named, "", self._behind(named))
            return Destination(call.port, None, call.host, [self._pods[call.address]])
        return Destination(call.port, None, call.host, (), ip_address(call.address))

    def _behind(self, service: Service) -> list[Party]:
        """The pods behind a Service."""
        return [
            one for one in self._pods.values() if one.namespace == service.namespace and service.selects(one.labels)
        ]


def party(document: Mapping) -> Party:
    """A pod of a simulated mesh."""
    pod = msgspec.convert(document, Pod)
    injected = pod.labels.get("security.istio.io/tlsMode") == "istio"
    return Party(
        name=document["metadata"]["name"],
        namespace=document["metadata"]["namespace"],
        labels=pod.labels,
        planes=(Plane.SIDECAR if injected else Plane.NONE,),
        intercepted=interception_of(pod.annotations),
        named_ports=pod.named_ports,
        listening=frozenset(
            port.container_port for container in pod.spec.containers or () for port in container.ports or ()
        ),
    )


__all__ = ["Cell", "Judged", "Key", "Registry", "Sight", "party"]
