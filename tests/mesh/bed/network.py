"""The pods' network: a network namespace for each, routed by the one that they were made in.

A pod's packets all go to the gateway, and none from pod to pod past it, so that what stands for kube-proxy (one DNAT
rule for each port of a Service) sees both directions of a connection.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api import Api, Object
from mesh_sandbox import GATEWAY, HOSTS

CLONE_NEWNET = 0x40000000
ETH_P_IP = 0x0800
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Network:
    """A network namespace with one address.

    Attributes:
        name: What `ip netns` calls it.
        address: Its address.
    """

    name: str
    address: str

    @property
    def path(self) -> Path:
        return Path("/run/netns", self.name)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread make its sockets in the namespace; a socket stays where it was made."""
        with self.path.open() as there, Path("/proc/thread-self/ns/net").open() as here:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def tcp_socket(self) -> socket.socket:
        """A TCP socket of a program in the pod, for use by an event loop."""
        with self.entered():
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(0)
        return made

    def listener(self, port: int, *, backlog: int = 128) -> socket.socket:
        """A socket that listens at a port of all of the pod's addresses."""
        made = self.tcp_socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("0.0.0.0", port))
        made.listen(backlog)
        return made

    def packets(self) -> socket.socket:
        """A socket that sees each IPv4 packet that comes to the pod or leaves it."""
        with self.entered():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
            made.bind(("eth0", ETH_P_IP))
        made.settimeout(0)
        return made


def create(name: str, address: str) -> Network:
    """Make a namespace whose way out is the gateway."""
    interface = _interface(address)
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "link", "set", interface, "up")
    _run("ip", "route", "add", f"{address}/32", "dev", interface)
    inside = (
        "link set lo up",
        f"address add {address}/32 dev eth0",
        "link set eth0 up",
        f"route add {GATEWAY} dev eth0 scope link",
        f"route add default via {GATEWAY}",
    )
    _run("ip", "-netns", name, "-batch", "-", text="\n".join(inside))
    return Network(name, address)


def delete(network: Network) -> None:
    """Remove the namespace; its interface at once, also while a socket keeps the namespace."""
    _run("ip", "link", "delete", _interface(network.address))
    _run("ip", "netns", "delete", network.name)


def route_services(api: Api) -> None:
    """Do what kube-proxy and DNS do: lead cluster IPs to pods, and give Services their names.

    The first ready endpoint of a port gets all connections.
    """
    endpoints = ready_endpoints(api)
    rules, names = [], ["127.0.0.1 localhost", f"{GATEWAY} istiod.istio-system.svc"]
    for service in api.list("Service"):
        meta, spec = service["metadata"], service["spec"]
        found = endpoints.get((meta["namespace"], meta["name"]), {})
        address = spec.get("clusterIP", "")
        if address == "None":
            address = next((to for places in found.values() for to, _ in places), "")
        if address:
            names.append(f"{address} {' '.join(_names(meta['name'], meta['namespace']))}")
        if spec.get("clusterIP", "None") == "None":
            continue
        for port in spec.get("ports", []):
            for to, target in found.get(port.get("name", ""), [])[:1]:
                rules.append(f"-A PREROUTING -d {address} -p tcp --dport {port['port']} -j DNAT --to {to}:{target}")
    HOSTS.write_text("\n".join([*names, ""]))
    _run("iptables-restore", text="\n".join(["*nat", *rules, "COMMIT", ""]))


def ready_endpoints(api: Api) -> dict[tuple[str, str], dict[str, list[tuple[str, int]]]]:
    """The ready endpoints of each Service, by its namespace and name: port name -> addresses and ports."""
    found: dict[tuple[str, str], dict[str, list[tuple[str, int]]]] = {}
    for piece in api.list("discovery.k8s.io/v1/EndpointSlice"):
        key = piece["metadata"]["namespace"], piece["metadata"]["labels"].get("kubernetes.io/service-name", "")
        for port in piece.get("ports") or []:
            places = found.setdefault(key, {}).setdefault(port.get("name", ""), [])
            places += [(one["addresses"][0], port["port"]) for one in piece["endpoints"] or [] if _ready(one)]
    return found


def _interface(address: str) -> str:
    """The gateway's end of what leads to an address."""
    return f"v{''.join(f'{int(part):02x}' for part in address.split('.'))}"


def _ready(endpoint: Object) -> bool:
    return bool(endpoint.get("conditions", {}).get("ready"))


def _names(name: str, namespace: str) -> list[str]:
    return [f"{name}.{namespace}{end}" for end in ("", ".svc", ".svc.cluster.local")]


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
