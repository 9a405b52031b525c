"""A mesh without a node: a control plane, istiod, and pods that are network namespaces with real sidecars.

A pod is a Pod object whose status says Running, so that the real controllers make its endpoints, and a namespace with
its address. What runs in it is whatever a test starts or listens with there. It takes `mesh_sandbox.py` around it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import acknowledged
import istio
import kubelet
import network
import sidecar
import toolbox
import yaml
from api import Object, eventually
from controlplane import ControlPlane, control_plane
from mesh_sandbox import GATEWAY, INSIDE
from network import Network
from processes import Program
from sidecar import Proxy, Sidecar

NODE = "nowhere"
MARKERS = "markers"
"""The namespace of the Services whose listeners show that a change is in force."""
MANAGER = {
    # Nobody reports for the node, and it is to stay as it is.
    "controllers": "*,-node-lifecycle-controller,-taint-eviction-controller",
    "kube-api-qps": "200",
    "kube-api-burst": "400",
}


@dataclass(frozen=True)
class Pod:
    """A pod of the mesh.

    Attributes:
        document: The Pod as it was stored.
        network: Its network namespace.
        proxy: Its sidecar, if it has one.
    """

    document: Object
    network: Network
    proxy: Proxy | None
    _bed: Bed = field(repr=False)

    @property
    def address(self) -> str:
        return self.network.address

    def run(self, name: str, command: list[str | Path], *, directory: Path | None = None) -> Program:
        """Start a program in the pod; its log is among the control plane's."""
        entered = [*sidecar.entering(self.network), *command]
        return self._bed.plane.programs.start(f"{self.network.name}-{name}", entered, directory=directory)

    def output(self, *command: str | Path, seconds: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a program in the pod to its end.

        Raises:
            subprocess.TimeoutExpired: It did not end in time, and was killed.
        """
        entered = [*sidecar.entering(self.network), *command]
        return subprocess.run(entered, check=False, capture_output=True, text=True, timeout=seconds)


@dataclass
class Bed:
    """A running mesh.

    Attributes:
        plane: Its control plane.
        istiod: Its istiod.
        pods: Its pods, by name.
    """

    plane: ControlPlane
    istiod: istio.Istiod
    pods: dict[str, Pod] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _applied: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _markers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def namespace(self, name: str, **labels: str) -> None:
        """Make a Kubernetes namespace in which pods can be created at once."""
        self.plane.api.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )
        eventually(lambda: self.plane.api.list("ServiceAccount", name), what=f"a service account in {name}")

    def pod(
        self,
        name: str,
        namespace: str,
        *,
        proxy: Sidecar | None = None,
        labels: dict[str, str] | None = None,
        ports: Iterable[int] = (),
    ) -> Pod:
        """Make a pod; `ready` waits for the sidecars of all of them.

        Args:
            name: Its name, which no other pod of the bed has.
            namespace: Its Kubernetes namespace.
            proxy: Its sidecar; None for a pod without one.
            labels: Its labels; `app` is its name.
            ports: Its container ports.
        """
        mode = {"security.istio.io/tlsMode": "istio"} if proxy is not None else {}
        document = self.plane.api.create(
            kubelet.pod(name, namespace, {"app": name, **mode, **(labels or {})}, node=NODE, ports=ports)
        )
        return self.start(document, proxy)

    def start(self, document: Object, proxy: Sidecar | None) -> Pod:
        """Run a pod that is bound to the node: its network, its sidecar, and its status.

        Args:
            document: The Pod as it is stored.
            proxy: Its sidecar; None for a pod without one.
        """
        name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
        number = next(self._numbers)
        net = network.create(name, f"10.244.{1 + number // 250}.{1 + number % 250}")
        running = None
        if proxy is not None:
            running = sidecar.start(
                document,
                net,
                proxy,
                self.plane.programs,
                root=kubelet.root_certificate(self.plane.api, namespace),
                token=kubelet.token(self.plane.api, namespace),
                discovery=f"istiod.istio-system.svc:{self.istiod.secure_grpc}",
            )
        kubelet.say_running(self.plane.api, document, net.address)
        self.pods[name] = Pod(document, net, running, self)
        return self.pods[name]

    def host(self, name: str, address: str) -> Network:
        """Make a host outside of the cluster."""
        return network.create(name, address)

    def delete_pod(self, name: str) -> None:
        """End a pod as a node does: its endpoint goes, then its programs, then its network."""
        pod = self.pods.pop(name)
        self.plane.api.delete("Pod", name, pod.document["metadata"]["namespace"])
        if pod.proxy is not None:
            pod.proxy.agent.stop(grace=0)
        shutil.rmtree(sidecar.PLACE / "pods" / name, ignore_errors=True)
        network.delete(pod.network)

    def apply(self, *documents: Object) -> None:
        """Create or change objects; `in_force` waits until they have their effect."""
        for document in documents:
            self.plane.api.apply(document)
            if "istio.io/" in document["apiVersion"]:
                meta = document["metadata"]
                kind = f"{document['apiVersion']}/{document['kind']}"
                stored = self.plane.api.get(kind, meta["name"], meta["namespace"])
                key = document["kind"], meta["namespace"], meta["name"]
                self._applied[key] = stored["metadata"]["resourceVersion"]

    def delete(self, kind: str, name: str, namespace: str) -> None:
        """Delete an object; `in_force` waits until it has lost its effect."""
        self.plane.api.delete(kind, name, namespace)
        if "istio.io/" in kind:
            self._applied[kind.rpartition("/")[2], namespace, name] = ""

    def ready(self, *, seconds: float = 180) -> None:
        """Wait until each sidecar has started.

        Raises:
            ProgramError: One has ended, or does not start in time.
        """
        for proxy in self._proxies():
            proxy.agent.wait_until(proxy.ready, seconds=seconds, what="ready")

    def in_force(self, *, seconds: float = 180) -> None:
        """Wait until every sidecar works by what was applied so far, and lead cluster IPs to pods.

        istiod has to know each of the objects first. A Service that is made then has its listener in a later push than
        they have their effect, and Envoy acknowledges one push after the other.

        Raises:
            AssertionError: It does not come to be in time, or Envoy rejected a listener.
        """
        api = self.plane.api
        pods = [pod.document["metadata"] | {"address": pod.address} for pod in self.pods.values()]
        what = "each Service has the endpoints of its pods"
        eventually(lambda: acknowledged.endpoints_made(api, pods), seconds=seconds, what=what)
        network.route_services(api)
        what = "istiod knows all objects"
        eventually(lambda: acknowledged.known(self.istiod, api, self._applied), seconds=seconds, what=what)
        address, port = acknowledged.mark(api, MARKERS, next(self._markers))
        for proxy in self._proxies():
            what = f"{proxy.network.name} has its configuration"
            eventually(lambda one=proxy: one.listens_at(address, port), seconds=seconds, what=what)
            if rejected := proxy.rejections():
                raise AssertionError(f"{proxy.network.name} rejected listeners: {rejected[:3]}")

    def outbound_policy(self, mode: str) -> None:
        """Set the mesh's `outboundTrafficPolicy`; `in_force` waits until it has its effect."""
        config = self.plane.api.get("ConfigMap", "istio", istio.NAMESPACE)
        mesh = yaml.safe_load(config["data"]["mesh"]) | {"outboundTrafficPolicy": {"mode": mode}}
        self.plane.api.merge("ConfigMap", "istio", {"data": {"mesh": yaml.safe_dump(mesh)}}, istio.NAMESPACE)

        def reloaded() -> bool:
            # The first value of an enumeration is left out.
            return self.istiod.debug("mesh")["outboundTrafficPolicy"].get("mode", "REGISTRY_ONLY") == mode

        eventually(reloaded, seconds=60, what=f"istiod has the outbound policy {mode}")

    def _proxies(self) -> list[Proxy]:
        return [pod.proxy for pod in self.pods.values() if pod.proxy is not None]


@contextmanager
def mesh_bed(*settings: str) -> Iterator[Bed]:
    """Start a mesh without pods; end all of it, and of its pods, afterwards.

    Args:
        settings: More of istioctl's `--set`.

    Raises:
        RuntimeError: There is no `mesh_sandbox.py` around this.
        ToolError: A tool cannot be built here.
        ProgramError: A part of it does not come up.
    """
    if not os.environ.get(INSIDE):
        raise RuntimeError("pods' networks are made in a sandbox only: run mesh_sandbox.py COMMAND")
    tools = toolbox.build(toolbox.CONTROL_PLANE + toolbox.ISTIO + toolbox.DATA_PLANE)
    if not sidecar.TEMPLATE.exists():
        sidecar.prepare(tools, toolbox.source("istio.io/istio") / "tools/packaging/common/envoy_bootstrap.json")
    with control_plane(tools, manager=MANAGER) as plane:
        plane.api.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        istiod = istio.install(plane, *settings, address=GATEWAY, environment=istio.UPSTREAM_ENVOY)
        bed = Bed(plane, istiod)
        bed.namespace(MARKERS)
        bed.apply(istio.NO_STATISTICS)
        try:
            network.route_services(plane.api)
            yield bed
        finally:
            for pod in bed.pods.values():
                if pod.proxy is not None:
                    pod.proxy.agent.stop(grace=0)


def versions(bed: Bed) -> dict[str, str]:
    """What was measured on: Kubernetes, Istio's module, Envoy."""
    envoy = subprocess.run([sidecar.ENVOY, "--version"], check=True, capture_output=True, text=True).stdout
    return {
        "kubernetes": bed.plane.api.request("GET", "/version")["gitVersion"],
        "istio": toolbox.version("istio.io/istio"),
        "envoy": envoy.rpartition("version: ")[2].split("/")[1],
    }
