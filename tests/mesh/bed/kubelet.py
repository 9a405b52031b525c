"""What a kubelet and the injector do for a pod: its object, its status, and what its sidecar is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from api import MERGE, Api, Object, eventually
from mesh_sandbox import GATEWAY


def pod(name: str, namespace: str, labels: Mapping[str, str], *, node: str, ports: Iterable[int]) -> Object:
    """A Pod that is bound to a node."""
    container = {
        "name": "app",
        "image": "none",
        "ports": [{"name": f"p{port}", "containerPort": port} for port in ports],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {"sidecar.istio.io/inject": "false", **labels},
        },
        "spec": {"nodeName": node, "containers": [container]},
    }


def say_running(api: Api, document: Object, address: str) -> None:
    """Give a Pod the status of one that runs and is ready."""
    meta = document["metadata"]
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": GATEWAY,
        "conditions": [{"type": kind, "status": "True"} for kind in kinds],
        "containerStatuses": [_status(one) for one in document["spec"]["containers"]],
        "initContainerStatuses": [_status(one) for one in document["spec"].get("initContainers", ())],
    }
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
    api.request("PATCH", path, {"status": status}, content_type=MERGE)


def bind(api: Api, document: Object, node: str) -> None:
    """Do for a Pod what the scheduler does."""
    meta = {key: document["metadata"][key] for key in ("namespace", "name")}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": {"kind": "Node", "name": node}}
    api.request("POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding", binding)


def root_certificate(api: Api, namespace: str) -> str:
    """The mesh's root certificate, which istiod puts into each namespace."""

    def found() -> str:
        maps = api.list("ConfigMap", namespace)
        named = [one for one in maps if one["metadata"]["name"] == "istio-ca-root-cert"]
        return named[0]["data"]["root-cert.pem"] if named else ""

    return eventually(found, what=f"istiod's root certificate in {namespace}")


def token(api: Api, namespace: str) -> str:
    """A token of the namespace's service account `default`, for istiod."""
    wanted = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["istio-ca"], "expirationSeconds": 7200},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    return api.request("POST", path, wanted)["status"]["token"]


def _status(container: Object) -> Object:
    """The status of a container that runs, and of an init container that has ended if it is no native sidecar."""
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": True,
        "restartCount": 0,
    }
